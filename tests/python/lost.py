"""Lines in which a program's output on a mounted file may differ from its output on the source, and why.

Everything here was changed by the loader that filled the sample stores; nothing is the mount's doing.
"""

import re


class Loss:
    """A reason, and the lines (of both outputs) that it explains."""

    def __init__(self, reason, pattern, tools="", domains="", versions=""):
        self.reason = reason
        self.pattern = re.compile(pattern)
        self.tools = re.compile(tools)
        self.domains = re.compile(domains)
        self.versions = re.compile(versions)

    def explains(self, tool, version, domain, line):
        """Whether this is the reason."""
        return bool(self.tools.match(tool) and self.domains.match(domain) and self.versions.match(version)
                    and self.pattern.search(line))


# Runs that may end in a fault of libhdf5 itself: what corrupted memory does differs. h5repack takes the file-space strategy over from its input, and libhdf5
# 1.10.8 corrupts its memory when it writes a paged file whose threshold for free space is high and allocates chunks
# early; it does so with a file of its own making too. `h5repack -S FSM_AGGR` is the way around.
CRASHES = {("h5repack-f", "0.9.4", "layouts.h5")}

DUMPS = "h5dump|h5repack"
LOST = [
    Loss("the loaders make every dataset chunked, 0.9 in chunks of its own choice", r"^    Chunks: ", "h5ls-v"),
    Loss("fletcher32 and scale-offset are not carried over, so other filters move up", r"^    Filter-\d: ", "h5ls-v",
         r"layouts\.h5|nc4\.nc"),
    Loss("a virtual dataset is copied", r"Maps: .*Source|contig$|^ {15}\}$", "h5ls-v", r"layouts\.h5"),
    Loss("fixed strings become NULL-padded and lose their terminator", r"STRPAD|STRSIZE|(null|space)-(padded|terminated)", "h5",
         r"layouts\.h5|nc4\.nc|types\.h5|attrs\.h5"),
    Loss("members of compounds are packed", r"\} (9|12|16|24) bytes|\"b\" +\+[18] ", "h5ls-v",
         r"layouts\.h5|nc4\.nc|types\.h5"),
    Loss("a hard link to the root is not carried over, so it has one link less",
         r'root_loop|HARDLINK "/"|^   \}$|Links:     [12]$', "h5", r"links\.h5"),
    Loss("0.9.4 stores a zero for the value of .dot", r"\.dot|^      \(0\): [01]$", domains=r"names\.h5",
         versions=r"0\.9\.4"),
    Loss("an attribute of an array type gets one more dimension",
         r"array_type|\[3\]|\( 2, 3 \)|\( 2 \) / \( 2 \)|\([01],0\): |\[ 0, 1, 2 \]|H5T_STD_I32LE|native int",
         "h5", r"attrs\.h5"),
    Loss("an attribute of an enumeration becomes its integer",
         r'GREEN|RED|H5T_ENUM|H5T_STD_U8LE|enum native|native unsigned char|^         \(0\): 1$|^ {15}\}$', "h5", r"attrs\.h5"),
    Loss("an attribute with one object reference becomes the text of the id",
         r'H5T_REFERENCE|object reference|"(datasets/)?d-|DATASET "/t"|DATA \{|\(0\): 0, 1, 2, 3|H5T_STRING|CSET|CTYPE'
         r"|variable-length", "h5", r"attrs\.h5"),
    Loss("a fixed UTF-8 string becomes ASCII and loses its padding", r'\(0\): "\\37777777703|CSET', "h5",
         r"attrs\.h5|types\.h5"),
    Loss("an empty and an unset string are the same in a store", r'\(\d+\): .*(NULL|"")', DUMPS,
         r"attrs\.h5|layouts\.h5|types\.h5"),
    Loss("the same, as GDAL writes it", r"^  temp_DIMENSION_LABELS=y( \{NULL\})?$", "gdalinfo", r"layouts\.h5"),
    Loss("odd numbers become the standard ones that hold them",
         r"H5T_STD_[IBU]|H5T_IEEE_F32LE|bit precision|bits? (of|at|for)|native|bit little-endian|0x01, 0x02|1, 2, 3, 255",
         "h5", r"types\.h5"),
    Loss("null dataspaces become scalars in 1.0.2", r"NULL|SCALAR|^         \(0\): 0$", "h5", r"types\.h5", r"1\.0\.2"),
    Loss("a dataset of a committed type gets a type of its own",
         r'ct_compound|H5T_COMPOUND|H5T_ARRAY|H5T_IEEE_F64BE|H5T_STRING|CTYPE|\} "(s|sub)"|^      \}$|struct \{|Links:     [12]$',
         "h5", r"types\.h5"),
    Loss("paddings of strings are seen in their values", r'\(0\): "ab', DUMPS, r"types\.h5"),
    Loss("so there are other types to count", r"unique datatypes", "h5stat", r"types\.h5"),
]


def known(tool, version, domain, line):
    """The reason for a line that differs, or nothing."""
    return next((loss.reason for loss in LOST if loss.explains(tool, version, domain, line)), None)
