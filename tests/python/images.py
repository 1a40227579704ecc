"""A mounted file as bytes: what is stored of it, piece by piece, with the errors where it cannot be read."""

import hashlib
import os

PIECE = 256 << 10  # bytes read at a time: an error is told for so much


def pieces(path):
    """Its size, and for each piece that is no hole where it lies and a digest of its bytes, or the number of its error."""
    found = []
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
                found.append((at, of_piece(file, at, length)))
                at += length
    finally:
        os.close(file)
    return size, found


def of_piece(file, at, length):
    """A digest, or the number of an error."""
    try:
        return hashlib.sha256(os.pread(file, length, at)).hexdigest()
    except OSError as error:
        return error.errno
