"""A mounted file as bytes: what is stored of it, piece by piece, with the errors where it cannot be read."""

import concurrent.futures
import hashlib
import os

AT_ONCE = 8  # pieces of one file read at once: a slow answer to one does not hold up the others
PIECE = 256 << 10  # bytes read at a time: an error is told for so much


def pieces(path):
    """Its size, and for each piece that is no hole where it lies and a digest of its bytes, or the number of its error."""
    places = []
    file = os.open(path, os.O_RDONLY)
    try:
        size, at = os.fstat(file).st_size, 0
        while at < size:
            try:
                at = os.lseek(file, at, os.SEEK_DATA)
            except OSError:
                break  # holes up to the end
            end = min(os.lseek(file, at, os.SEEK_HOLE), size)
            while at < end:
                length = min(PIECE, end - at)
                places.append((at, length))
                at += length
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            digests = pool.map(lambda place: of_piece(file, *place), places)
            return size, [(at, digest) for (at, _), digest in zip(places, digests)]
    finally:
        os.close(file)


def pieces_or_error(path):
    """The same, or the number of the error with which the file cannot be opened."""
    try:
        return pieces(path)
    except OSError as error:
        return error.errno


def of_piece(file, at, length):
    """A digest, or the number of an error."""
    try:
        return hashlib.sha256(os.pread(file, length, at)).hexdigest()
    except OSError as error:
        return error.errno
