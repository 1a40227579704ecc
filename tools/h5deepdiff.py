#!/usr/bin/env python3
"""h5deepdiff - deep comparison of two HDF5 files through the low-level HDF5 C API.

Needs only Python >= 3.8 and a libhdf5 >= 1.12 (found inside an installed
h5py wheel, or named with --lib / $H5DEEPDIFF_LIB).  No numpy, no h5py import.

    h5deepdiff.py A.h5 B.h5 [--ignore CAT,CAT..] [--preset NAME] [--strict] [-q] [--json]

What is compared (category names in brackets; all on unless said otherwise):
  [link]       names of links in every group, link class, soft/external/user-defined targets
  [linkcset]   character set of link names
  [corder]     creation-order flags of groups/objects, and the RANK of links/attributes by
               creation order where both files track it
  [corderval]  absolute creation-order values                               (off; --strict)
  [attrorder]  order of attributes where the object does not track it       (off; --strict)
  [identity]   which paths are hard links to one object (one-to-one map, cycles included)
  [refcount]   object reference count
  [objtype]    group / dataset / committed datatype
  [type]       exact datatype: class, size, order, sign, precision, padding, float fields,
               string kind/cset/pad, compound offsets, enum members, array dims, opaque tag
  [committed]  use of committed datatypes (and that both use the corresponding object)
  [space]      dataspace class and current dimensions
  [maxdims]    maximum dimensions
  [layout]     compact / contiguous / chunked / virtual
  [chunks]     chunk shape
  [filters]    filter ids, flags, client data, names
  [fill]       fill value (status and bytes)
  [filltime] [alloctime]  fill write time, allocation time
  [external]   external raw-data file list
  [virtual]    virtual-dataset mappings
  [data]       every element, bit-exact in the file type (vlen and references by meaning)
  [attr]       attribute names;  [attrtype] [attrspace] [attrdata] [attrcset] their parts
  [refs]       targets of object / region / attribute references (by object identity)
  [padding]    bytes that carry no value: compound gaps, unused bits, bytes after the NUL of a
               fixed string                                                 (off; --strict)
  [comment]    object comments
  [userblock]  size and bytes of the user block
  [times] object header times, [tracktimes] time-tracking flag              (off; --strict)
  [phase]      link/attribute phase-change and heap hints                   (off; --strict)
  [superblock] file creation properties                                     (off; --strict)
  [storage]    allocated bytes / chunk counts                               (off; --strict)
  [unreadable] data that libhdf5 cannot read in A *and* B (reported as a note, no difference)

Exit: 0 no differences, 1 differences, 2 a file could not be opened / internal error.
"""
import argparse
import ctypes as C
import glob
import json
import os
import struct
import sys
from collections import OrderedDict, deque

hid_t = C.c_int64
hsize_t = C.c_uint64
herr_t = C.c_int

ALL_CATS = ('link linkcset corder corderval attrorder identity refcount objtype type committed space maxdims '
            'layout chunks filters fill filltime alloctime external virtual data attr attrtype '
            'attrspace attrdata attrcset refs padding comment userblock times tracktimes phase superblock '
            'storage unreadable').split()
DEFAULT_OFF = {'attrorder', 'corderval', 'padding', 'times', 'tracktimes', 'phase', 'superblock', 'storage'}

# what a store may legitimately be unable to keep
PRESETS = {
    # only how raw data is laid out in the file
    'layout': 'layout chunks filters alloctime filltime storage phase superblock',
    # HSDS schema: no file-level settings, no time/phase properties, no alloc times, rank order only
    'hsds': 'alloctime filltime storage phase superblock times tracktimes corderval padding '
            'comment refcount linkcset attrcset',
    # what survives an h5repack with changed layout
    'repack': 'layout chunks filters alloctime filltime storage phase superblock times padding '
              'userblock external tracktimes corderval',
    # netCDF-4 data model only
    'netcdf': 'layout chunks filters alloctime filltime fill storage phase superblock times '
              'tracktimes padding comment userblock external virtual corderval refcount linkcset '
              'attrcset committed',
    # values only
    'content': 'layout chunks filters fill alloctime filltime storage phase superblock times '
               'tracktimes padding comment userblock external virtual corder corderval refcount '
               'linkcset attrcset committed maxdims type attrtype',
}


class Token(C.Structure):
    _fields_ = [('d', C.c_uint8 * 16)]

    def key(self):
        return bytes(self.d)


class OInfo(C.Structure):
    _fields_ = [('fileno', C.c_ulong), ('token', Token), ('type', C.c_int), ('rc', C.c_uint),
                ('atime', C.c_int64), ('mtime', C.c_int64), ('ctime', C.c_int64), ('btime', C.c_int64),
                ('num_attrs', hsize_t)]


class LU(C.Union):
    _fields_ = [('token', Token), ('val_size', C.c_size_t)]


class LInfo(C.Structure):
    _fields_ = [('type', C.c_int), ('corder_valid', C.c_bool), ('corder', C.c_int64),
                ('cset', C.c_int), ('u', LU)]


class AInfo(C.Structure):
    _fields_ = [('corder_valid', C.c_bool), ('corder', C.c_uint32), ('cset', C.c_int),
                ('data_size', hsize_t)]


class GInfo(C.Structure):
    _fields_ = [('storage_type', C.c_int), ('nlinks', hsize_t), ('max_corder', C.c_int64), ('mounted', C.c_bool)]


LINK_CB = C.CFUNCTYPE(herr_t, hid_t, C.c_char_p, C.POINTER(LInfo), C.c_void_p)
ATTR_CB = C.CFUNCTYPE(herr_t, hid_t, C.c_char_p, C.POINTER(AInfo), C.c_void_p)

(T_INT, T_FLOAT, T_TIME, T_STRING, T_BITFIELD, T_OPAQUE, T_COMPOUND, T_REF, T_ENUM, T_VLEN, T_ARRAY,
 T_COMPLEX) = range(12)
TNAMES = ['INTEGER', 'FLOAT', 'TIME', 'STRING', 'BITFIELD', 'OPAQUE', 'COMPOUND', 'REFERENCE', 'ENUM',
          'VLEN', 'ARRAY', 'COMPLEX']
LAYOUTS = {-1: 'unknown', 0: 'compact', 1: 'contiguous', 2: 'chunked', 3: 'virtual'}
ONAMES = {-1: 'unknown', 0: 'group', 1: 'dataset', 2: 'committed datatype', 3: 'map'}


class H5Error(Exception):
    pass


def find_library():
    """candidates for a libhdf5 with the 1.12 API"""
    if os.environ.get('H5DEEPDIFF_LIB'):
        return [os.environ['H5DEEPDIFF_LIB']]
    c = []
    try:
        import importlib.util
        sp = importlib.util.find_spec('h5py')
        if sp and sp.submodule_search_locations:
            d = os.path.dirname(list(sp.submodule_search_locations)[0])
            c += sorted(glob.glob(os.path.join(d, 'h5py.libs', 'libhdf5-*.so*')))
    except Exception:
        pass
    import ctypes.util
    for n in ('hdf5', 'hdf5_serial'):
        f = ctypes.util.find_library(n)
        if f:
            c.append(f)
    c += sorted(glob.glob('/usr/local/lib/libhdf5.so*') + glob.glob('/usr/local/hdf5*/lib/libhdf5.so'))
    return c


class Lib:
    """thin ctypes binding; L.H5Xfoo(...) raises H5Error on a negative return"""

    SPEC = {}

    def __init__(self, path=None):
        err = []
        for p in ([path] if path else find_library()):
            try:
                lib = C.CDLL(p)
                if not hasattr(lib, 'H5Oget_info3'):
                    err.append('%s: HDF5 < 1.12' % p)
                    continue
                self.lib, self.path = lib, p
                break
            except OSError as e:
                err.append(str(e))
        else:
            raise SystemExit('h5deepdiff: no usable libhdf5 (>= 1.12): ' + '; '.join(err))
        self._decl()
        self.lib.H5open()
        self.lib.H5Eset_auto2(C.c_int64(0), None, None)
        v = (C.c_uint * 3)()
        self.lib.H5get_libversion(C.byref(v, 0), C.byref(v, 4), C.byref(v, 8))
        self.version = tuple(v)

    def _decl(self):
        P, I, U, S, V, Z = C.POINTER, C.c_int, C.c_uint, C.c_char_p, C.c_void_p, C.c_size_t
        H = hid_t
        HS = P(hsize_t)
        spec = {
            'H5open': (I, []), 'H5Eset_auto2': (I, [H, V, V]), 'H5get_libversion': (I, [V, V, V]),
            'H5free_memory': (I, [V]),
            'H5Fopen': (H, [S, U, H]), 'H5Fclose': (I, [H]), 'H5Fget_create_plist': (H, [H]),
            'H5Fget_name': (C.c_ssize_t, [H, V, Z]),
            'H5Oopen': (H, [H, S, H]), 'H5Oopen_by_token': (H, [H, Token]), 'H5Oclose': (I, [H]),
            'H5Oget_info3': (I, [H, P(OInfo), U]),
            'H5Oget_comment': (C.c_ssize_t, [H, V, Z]),
            'H5Idec_ref': (I, [H]), 'H5Iget_name': (C.c_ssize_t, [H, V, Z]), 'H5Iget_type': (I, [H]),
            'H5Literate2': (I, [H, I, I, HS, LINK_CB, V]),
            'H5Lget_info2': (I, [H, S, P(LInfo), H]),
            'H5Lget_val': (I, [H, S, V, Z, H]),
            'H5Aiterate2': (I, [H, I, I, HS, ATTR_CB, V]),
            'H5Aopen': (H, [H, S, H]), 'H5Aclose': (I, [H]), 'H5Aget_type': (H, [H]), 'H5Aget_space': (H, [H]),
            'H5Aread': (I, [H, H, V]),
            'H5Gget_info': (I, [H, P(GInfo)]),
            'H5Gget_create_plist': (H, [H]), 'H5Tget_create_plist': (H, [H]),
            'H5Dget_create_plist': (H, [H]), 'H5Dget_type': (H, [H]), 'H5Dget_space': (H, [H]),
            'H5Dread': (I, [H, H, H, H, H, V]), 'H5Dget_storage_size': (hsize_t, [H]),
            'H5Dget_num_chunks': (I, [H, H, HS]),
            'H5Dget_chunk_info': (I, [H, H, hsize_t, HS, P(U), P(C.c_uint64), HS]),
            'H5Sget_simple_extent_type': (I, [H]), 'H5Sget_simple_extent_ndims': (I, [H]),
            'H5Sget_simple_extent_dims': (I, [H, HS, HS]), 'H5Sclose': (I, [H]),
            'H5Screate_simple': (H, [I, HS, HS]), 'H5Screate': (H, [I]), 'H5Scopy': (H, [H]),
            'H5Sselect_hyperslab': (I, [H, I, HS, HS, HS, HS]),
            'H5Sget_select_npoints': (C.c_int64, [H]), 'H5Sget_select_type': (I, [H]),
            'H5Sis_regular_hyperslab': (I, [H]), 'H5Sget_regular_hyperslab': (I, [H, HS, HS, HS, HS]),
            'H5Sget_select_hyper_nblocks': (C.c_int64, [H]),
            'H5Sget_select_hyper_blocklist': (I, [H, hsize_t, hsize_t, HS]),
            'H5Sget_select_elem_npoints': (C.c_int64, [H]),
            'H5Sget_select_elem_pointlist': (I, [H, hsize_t, hsize_t, HS]),
            'H5Tget_class': (I, [H]), 'H5Tget_size': (Z, [H]), 'H5Tclose': (I, [H]), 'H5Tcopy': (H, [H]),
            'H5Tcommitted': (I, [H]), 'H5Tequal': (I, [H, H]),
            'H5Tget_order': (I, [H]), 'H5Tget_precision': (Z, [H]), 'H5Tget_offset': (I, [H]),
            'H5Tget_pad': (I, [H, P(I), P(I)]), 'H5Tget_sign': (I, [H]),
            'H5Tget_fields': (I, [H, P(Z), P(Z), P(Z), P(Z), P(Z)]), 'H5Tget_ebias': (Z, [H]),
            'H5Tget_norm': (I, [H]), 'H5Tget_inpad': (I, [H]),
            'H5Tget_strpad': (I, [H]), 'H5Tget_cset': (I, [H]), 'H5Tis_variable_str': (I, [H]),
            'H5Tget_tag': (V, [H]), 'H5Tget_nmembers': (I, [H]),
            'H5Tget_member_name': (V, [H, U]), 'H5Tget_member_offset': (Z, [H, U]),
            'H5Tget_member_type': (H, [H, U]), 'H5Tget_member_value': (I, [H, U, V]),
            'H5Tget_super': (H, [H]), 'H5Tget_array_ndims': (I, [H]), 'H5Tget_array_dims2': (I, [H, HS]),
            'H5Treclaim': (I, [H, H, H, V]), 'H5Tconvert': (I, [H, H, Z, V, V, H]),
            'H5Pclose': (I, [H]), 'H5Pget_layout': (I, [H]), 'H5Pget_chunk': (I, [H, I, HS]),
            'H5Pget_nfilters': (I, [H]),
            'H5Pget_filter2': (I, [H, U, P(U), P(Z), P(U), Z, V, P(U)]),
            'H5Pfill_value_defined': (I, [H, P(I)]), 'H5Pget_fill_value': (I, [H, H, V]),
            'H5Pget_fill_time': (I, [H, P(I)]), 'H5Pget_alloc_time': (I, [H, P(I)]),
            'H5Pget_external_count': (I, [H]),
            'H5Pget_external': (I, [H, U, Z, V, P(C.c_int64), HS]),
            'H5Pget_virtual_count': (I, [H, P(Z)]),
            'H5Pget_virtual_filename': (C.c_ssize_t, [H, Z, V, Z]),
            'H5Pget_virtual_dsetname': (C.c_ssize_t, [H, Z, V, Z]),
            'H5Pget_virtual_vspace': (H, [H, Z]), 'H5Pget_virtual_srcspace': (H, [H, Z]),
            'H5Pget_link_creation_order': (I, [H, P(U)]), 'H5Pget_attr_creation_order': (I, [H, P(U)]),
            'H5Pget_link_phase_change': (I, [H, P(U), P(U)]), 'H5Pget_attr_phase_change': (I, [H, P(U), P(U)]),
            'H5Pget_est_link_info': (I, [H, P(U), P(U)]), 'H5Pget_local_heap_size_hint': (I, [H, P(Z)]),
            'H5Pget_obj_track_times': (I, [H, P(C.c_bool)]),
            'H5Pget_userblock': (I, [H, HS]), 'H5Pget_sizes': (I, [H, P(Z), P(Z)]),
            'H5Pget_sym_k': (I, [H, P(U), P(U)]), 'H5Pget_istore_k': (I, [H, P(U)]),
            'H5Pget_shared_mesg_nindexes': (I, [H, P(U)]),
            'H5Pget_file_space_strategy': (I, [H, P(I), P(C.c_bool), HS]),
            'H5Pget_file_space_page_size': (I, [H, HS]),
            'H5Rdereference2': (H, [H, H, I, V]), 'H5Rget_region': (H, [H, I, V]),
            'H5Rget_type': (I, [V]), 'H5Ropen_object': (H, [V, H, H]), 'H5Ropen_region': (H, [V, H, H]),
            'H5Rget_attr_name': (C.c_ssize_t, [V, V, Z]), 'H5Rget_file_name': (C.c_ssize_t, [V, V, Z]),
            'H5Rget_obj_name': (C.c_ssize_t, [V, H, V, Z]),
        }
        self._raw = {}
        for n, (r, a) in spec.items():
            f = getattr(self.lib, n, None)
            if f is None:
                continue
            f.restype, f.argtypes = r, a
            self._raw[n] = f

    def __getattr__(self, n):
        raw = self.__dict__.get('_raw', {})
        if n not in raw:
            raise AttributeError(n)
        f = raw[n]
        unsigned = f.restype in (C.c_size_t, hsize_t, C.c_void_p)

        def call(*a):
            r = f(*a)
            if not unsigned and r is not None and r < 0:
                raise H5Error(n)
            return r
        setattr(self, n, call)
        return call

    def raw(self, n):
        return self._raw[n]

    def g(self, name):
        """value of a predefined id such as H5T_STD_REF_OBJ_g"""
        return C.c_int64.in_dll(self.lib, name).value

    def load_h5py(self):
        """h5py registers the LZF filter in its own libhdf5; True when that was done just now"""
        if self.__dict__.get('_h5py_tried') or 'h5py.libs' not in self.path:
            return False
        self._h5py_tried = True
        try:
            import h5py                       # noqa: F401
            self.lib.H5Eset_auto2(C.c_int64(0), None, None)
            return True
        except Exception:
            return False

    def cstr(self, ptr):
        """string allocated by the library"""
        if not ptr:
            return b''
        s = C.string_at(ptr)
        self.lib.H5free_memory(C.c_void_p(ptr))
        return s

    def sized(self, fn, *pre):
        """call fn(*pre, buf, size) twice for a sized string"""
        n = fn(*pre, None, 0)
        if n <= 0:
            return b''
        b = C.create_string_buffer(n + 1)
        fn(*pre, b, n + 1)
        return b.raw[:n]


class Type:
    """description of a datatype (memory form as the library returns it)"""
    __slots__ = ('cls', 'size', 'p', 'members', 'base', 'dims', 'vl', 'ref', 'committed', 'cofs', 'plain')

    def __init__(self, L, tid, top=False):
        self.cls = L.H5Tget_class(tid)
        self.size = L.H5Tget_size(tid)
        self.members = self.base = self.dims = None
        self.vl = self.ref = False
        self.p = ()
        self.committed = None
        self.plain = True     # no bits without a meaning
        c = self.cls
        if c in (T_INT, T_BITFIELD, T_FLOAT, T_TIME):
            prec, ofs = L.H5Tget_precision(tid), L.H5Tget_offset(tid) if c != T_TIME else 0
            lp, mp = C.c_int(), C.c_int()
            try:
                L.H5Tget_pad(tid, C.byref(lp), C.byref(mp))
            except H5Error:
                pass
            self.p = (('order', L.H5Tget_order(tid)), ('precision', prec), ('offset', ofs),
                      ('lsb_pad', lp.value), ('msb_pad', mp.value))
            if c == T_INT:
                self.p += (('sign', L.H5Tget_sign(tid)),)
            if c == T_FLOAT:
                z = [C.c_size_t() for _ in range(5)]
                L.H5Tget_fields(tid, *[C.byref(x) for x in z])
                self.p += (('fields', tuple(x.value for x in z)), ('ebias', L.H5Tget_ebias(tid)),
                           ('norm', L.H5Tget_norm(tid)), ('inpad', L.H5Tget_inpad(tid)))
            self.plain = prec == self.size * 8
        elif c == T_STRING:
            var = bool(L.H5Tis_variable_str(tid))
            self.vl = var
            self.p = (('variable', var), ('cset', L.H5Tget_cset(tid)), ('strpad', L.H5Tget_strpad(tid)))
            self.plain = False
        elif c == T_OPAQUE:
            self.p = (('tag', L.cstr(L.H5Tget_tag(tid))),)
        elif c == T_COMPOUND:
            n = L.H5Tget_nmembers(tid)
            self.members = []
            cover = 0
            for i in range(n):
                m = L.H5Tget_member_type(tid, i)
                try:
                    t = Type(L, m)
                finally:
                    L.H5Tclose(m)
                self.members.append((L.cstr(L.H5Tget_member_name(tid, i)), L.H5Tget_member_offset(tid, i), t))
                self.vl |= t.vl
                self.ref |= t.ref
                self.plain &= t.plain
                cover += t.size
            if cover != self.size:
                self.plain = False
        elif c == T_REF:
            self.ref = True
            self.plain = False
            k = 'unknown'
            for nm, g in (('object', 'H5T_STD_REF_OBJ_g'), ('region', 'H5T_STD_REF_DSETREG_g'), ('std', 'H5T_STD_REF_g')):
                try:
                    if L.H5Tequal(tid, L.g(g)) > 0:
                        k = nm
                        break
                except (H5Error, ValueError):
                    pass
            self.p = (('kind', k),)
        elif c == T_ENUM:
            b = L.H5Tget_super(tid)
            try:
                self.base = Type(L, b)
            finally:
                L.H5Tclose(b)
            self.members = []
            for i in range(L.H5Tget_nmembers(tid)):
                v = C.create_string_buffer(self.size)
                L.H5Tget_member_value(tid, i, v)
                self.members.append((L.cstr(L.H5Tget_member_name(tid, i)), v.raw))
            self.plain = self.base.plain
        elif c in (T_VLEN, T_ARRAY, T_COMPLEX):
            b = L.H5Tget_super(tid)
            try:
                self.base = Type(L, b)
            finally:
                L.H5Tclose(b)
            self.vl = c == T_VLEN or self.base.vl
            self.ref = self.base.ref
            self.plain = self.base.plain and c != T_VLEN
            if c == T_ARRAY:
                r = L.H5Tget_array_ndims(tid)
                d = (hsize_t * max(r, 1))()
                L.H5Tget_array_dims2(tid, d)
                self.dims = tuple(d[:r])

    def key(self):
        k = (self.cls, None if (self.cls == T_STRING and self.vl) or self.cls in (T_VLEN, T_REF) else self.size, self.p)
        if self.cls == T_COMPOUND:
            k += (tuple((n, o, t.key()) for n, o, t in self.members),)
        elif self.cls == T_ENUM:
            k += (self.base.key(), tuple(self.members))
        elif self.base is not None:
            k += (self.base.key(), self.dims)
        return k

    def lkey(self):
        """key that disregards compound offsets/sizes and pad bits (layout in memory only)"""
        if self.cls == T_COMPOUND:
            return (self.cls, tuple((n, t.lkey()) for n, o, t in self.members))
        if self.cls == T_ENUM:
            return (self.cls, self.base.lkey(), tuple(self.members))
        if self.base is not None:
            return (self.cls, self.base.lkey(), self.dims)
        return self.key()

    def __str__(self):
        c = self.cls
        d = dict(self.p)
        if c in (T_INT, T_BITFIELD, T_FLOAT, T_TIME):
            o = {0: 'LE', 1: 'BE', 2: 'VAX'}.get(d['order'], str(d['order']))
            nm = {T_INT: 'I' if d.get('sign') else 'U', T_BITFIELD: 'B', T_FLOAT: 'F', T_TIME: 'TIME'}[c]
            s = '%s%d%s' % (nm, self.size * 8, o)
            if d['precision'] != self.size * 8:
                s += '(prec %d ofs %d)' % (d['precision'], d['offset'])
            if c == T_FLOAT and self.size not in (4, 8):
                s += str(d['fields'])
            return s
        if c == T_STRING:
            return 'STRING(%s,%s,%s)' % ('var' if d['variable'] else self.size, 'utf8' if d['cset'] == 1 else 'ascii' if d['cset'] == 0 else d['cset'],
                                         {0: 'nullterm', 1: 'nullpad', 2: 'spacepad'}.get(d['strpad'], d['strpad']))
        if c == T_OPAQUE:
            return 'OPAQUE(%d,%r)' % (self.size, d['tag'])
        if c == T_COMPOUND:
            return 'COMPOUND(%d){%s}' % (self.size, '; '.join('%s@%d %s' % (n.decode('utf8', 'backslashreplace'), o, t) for n, o, t in self.members))
        if c == T_REF:
            return 'REF(%s)' % d['kind']
        if c == T_ENUM:
            return 'ENUM(%s){%s}' % (self.base, ','.join('%s=%s' % (n.decode('utf8', 'backslashreplace'), v.hex()) for n, v in self.members))
        if c == T_ARRAY:
            return 'ARRAY%r(%s)' % (list(self.dims), self.base)
        if c == T_VLEN:
            return 'VLEN(%s)' % self.base
        if c == T_COMPLEX:
            return 'COMPLEX(%s)' % self.base
        return '%s(%d)' % (TNAMES[c] if 0 <= c < len(TNAMES) else c, self.size)


def get_space(L, sid):
    """(class, dims, maxdims): class 0 scalar, 1 simple, 2 null"""
    c = L.H5Sget_simple_extent_type(sid)
    if c != 1:
        return c, (), ()
    r = L.H5Sget_simple_extent_ndims(sid)
    d, m = (hsize_t * max(r, 1))(), (hsize_t * max(r, 1))()
    L.H5Sget_simple_extent_dims(sid, d, m)
    return c, tuple(d[:r]), tuple('UNLIMITED' if x == 2 ** 64 - 1 else x for x in m[:r])


def space_text(sp):
    return ['scalar', 'simple', 'null'][sp[0]] + (str(list(sp[1])) if sp[0] == 1 else '')


def selection(L, sid):
    """comparable description of a selection"""
    sp = get_space(L, sid)
    t = L.H5Sget_select_type(sid)
    r = len(sp[1])
    if t == 2:
        try:
            if L.H5Sis_regular_hyperslab(sid):
                a = [(hsize_t * max(r, 1))() for _ in range(4)]
                L.H5Sget_regular_hyperslab(sid, *a)
                return sp, 'hyper-regular', tuple(tuple(x[:r]) for x in a)
        except H5Error:
            pass
        n = L.H5Sget_select_hyper_nblocks(sid)
        b = (hsize_t * max(1, n * 2 * r))()
        L.H5Sget_select_hyper_blocklist(sid, 0, n, b)
        return sp, 'hyper', tuple(sorted(tuple(b[i * 2 * r:(i + 1) * 2 * r]) for i in range(n)))
    if t == 1:
        n = L.H5Sget_select_elem_npoints(sid)
        b = (hsize_t * max(1, n * r))()
        L.H5Sget_select_elem_pointlist(sid, 0, n, b)
        return sp, 'points', tuple(tuple(b[i * r:(i + 1) * r]) for i in range(n))
    return sp, {0: 'none', 3: 'all'}.get(t, str(t)), ()


class File:
    def __init__(self, L, path):
        self.L, self.path = L, path
        self.fid = L.H5Fopen(os.fsencode(path), 0, 0)
        self.names = {}     # token -> first path found
        root = self.open(b'/')
        try:
            self.rootinfo = self.info(root)
        finally:
            self.L.H5Oclose(root)
        self.fileno = self.rootinfo.fileno

    def close(self):
        try:
            self.L.H5Fclose(self.fid)
        except H5Error:
            pass

    def open(self, name):
        return self.L.H5Oopen(self.fid, name, 0)

    def info(self, oid):
        i = OInfo()
        self.L.H5Oget_info3(oid, C.byref(i), 0x1 | 0x2 | 0x4)   # basic, time, num_attrs
        return i

    def open_token(self, tok):
        t = Token()
        t.d[:] = tok
        return self.L.H5Oopen_by_token(self.fid, t)


class Note(Exception):
    pass


def show(x, n=60):
    if isinstance(x, bytes):
        x = x.decode('utf8', 'backslashreplace')
        x = ''.join(ch if ch.isprintable() else '\\x%02x' % ord(ch) for ch in x)
    x = str(x)
    return x if len(x) <= n else x[:n] + '...'


class Diff:
    def __init__(self, L, fa, fb, ignore=(), max_per=20, data=True, max_bytes=1 << 28, quiet=False, raw_chunks=True):
        self.L, self.A, self.B = L, fa, fb
        self.ignore = set(ignore)
        self.max_per, self.quiet = max_per, quiet
        self.data, self.max_bytes = data, max_bytes
        self.counts, self.lines, self.notes = OrderedDict(), [], []
        self.mapAB, self.mapBA = {}, {}
        self.queue = deque()
        self.pending_refs = []
        self.nobj = self.nattr = self.nelem = 0

    # ---- reporting
    def on(self, cat):
        return cat not in self.ignore

    def d(self, cat, path, msg):
        if cat in self.ignore:
            return
        n = self.counts[cat] = self.counts.get(cat, 0) + 1
        if n <= self.max_per:
            self.lines.append('%-10s %s: %s' % (cat, show(path, 300), msg))
        elif n == self.max_per + 1:
            self.lines.append('%-10s ... further differences of this kind only counted' % cat)

    def ab(self, cat, path, what, a, b, n=200):
        if a != b:
            self.d(cat, path, '%s differs: A %s | B %s' % (what, show(a, n), show(b, n)))

    def note(self, path, msg):
        if 'unreadable' not in self.ignore and len(self.notes) < 200:
            self.notes.append('note       %s: %s' % (show(path, 300), msg))

    def both(self, path, cat, what, fa, fb):
        """run fa() and fb(); (ra, rb), or None after reporting a failure"""
        r = []
        for f in (fa, fb):
            try:
                r.append((f(),))
            except (H5Error, OSError) as e:
                r.append(None)
        if r[0] is None and r[1] is None:
            self.note(path, '%s: cannot be read in either file' % what)
        elif r[0] is None or r[1] is None:
            self.d(cat, path, '%s: cannot be read in %s' % (what, 'A' if r[0] is None else 'B'))
        else:
            return r[0][0], r[1][0]
        return None

    # ---- identity
    def pair(self, ta, tb, path):
        """object tokens ta/tb stand at the same path. True if new."""
        known_a, known_b = self.mapAB.get(ta), self.mapBA.get(tb)
        if known_a is None and known_b is None:
            self.mapAB[ta], self.mapBA[tb] = tb, ta
            self.A.names[ta] = self.B.names[tb] = path
            return True
        if known_a != tb:
            na, nb = self.A.names.get(ta), self.B.names.get(tb)
            self.d('identity', path, 'in A it is %s; in B it is %s' % (
                'the same object as ' + show(na) if na else 'an object of its own',
                'the same object as ' + show(nb) if nb else 'an object of its own'))
            # still compare the contents once per pair
            if (ta, tb) not in self.mapAB:
                self.mapAB[(ta, tb)] = True
                self.A.names.setdefault(ta, path)
                self.B.names.setdefault(tb, path)
                return True
        return False

    def run(self, pa=b'/', pb=b'/'):
        L = self.L
        self.file_level()
        oa, ob = self.A.open(pa), self.B.open(pb)
        ia, ib = self.A.info(oa), self.B.info(ob)
        L.H5Oclose(oa), L.H5Oclose(ob)
        ta, tb = ia.token.key(), ib.token.key()
        self.pair(ta, tb, b'/')
        self.queue.append((ta, tb, b'/'))
        while True:
            while self.queue:
                ta, tb, path = self.queue.popleft()
                try:
                    self.obj(ta, tb, path)
                except H5Error as e:
                    self.d('objtype', path, 'library error while comparing (%s)' % e)
            if not self.pending_refs:
                break
            todo, self.pending_refs = self.pending_refs, []
            for ta, tb, path in todo:
                if self.mapAB.get(ta) == tb:
                    continue
                if ta in self.mapAB or tb in self.mapBA:
                    if (ta, tb) in self.mapAB:
                        continue
                    self.d('refs', path, 'reference target differs: A %s | B %s' % (
                        show(self.A.names.get(ta, b'(not reachable by links)')), show(self.B.names.get(tb, b'(not reachable by links)'))))
                    continue
                # both targets unreachable by hard links: compare as anonymous objects
                anon = b'<referenced from ' + path + b'>'
                if self.pair(ta, tb, anon):
                    self.queue.append((ta, tb, anon))
        return not self.counts

    # ---- file
    def file_level(self):
        L = self.L
        r = []
        for f in (self.A, self.B):
            p = L.H5Fget_create_plist(f.fid)
            try:
                ub = hsize_t()
                L.H5Pget_userblock(p, C.byref(ub))
                d = OrderedDict()
                z1, z2 = C.c_size_t(), C.c_size_t()
                L.H5Pget_sizes(p, C.byref(z1), C.byref(z2))
                d['sizes'] = (z1.value, z2.value)
                u1, u2 = C.c_uint(), C.c_uint()
                for n, args in (('H5Pget_sym_k', (u1, u2)), ('H5Pget_istore_k', (u1,)), ('H5Pget_shared_mesg_nindexes', (u1,))):
                    try:
                        getattr(L, n)(p, *[C.byref(x) for x in args])
                        d[n[6:]] = tuple(x.value for x in args)
                    except H5Error:
                        d[n[6:]] = None
                try:
                    s, ps, th = C.c_int(), C.c_bool(), hsize_t()
                    L.H5Pget_file_space_strategy(p, C.byref(s), C.byref(ps), C.byref(th))
                    L.H5Pget_file_space_page_size(p, C.byref(ub2 := hsize_t()))
                    d['file_space'] = (s.value, ps.value, th.value, ub2.value)
                except H5Error:
                    pass
                r.append((ub.value, d))
            finally:
                L.H5Pclose(p)
        (ua, da), (ub_, db) = r
        self.ab('userblock', b'/', 'user block size', ua, ub_)
        if self.on('userblock') and ua == ub_ and ua:
            with open(self.A.path, 'rb') as x, open(self.B.path, 'rb') as y:
                if x.read(ua) != y.read(ua):
                    self.d('userblock', b'/', 'user block bytes differ')
        for k in da:
            self.ab('superblock', b'/', k, da[k], db.get(k))

    # ---- objects
    def obj(self, ta, tb, path):
        L = self.L
        oa = ob = None
        try:
            try:
                oa = self.A.open_token(ta)
            except H5Error:
                pass
            try:
                ob = self.B.open_token(tb)
            except H5Error:
                pass
            if oa is None or ob is None:
                if oa is None and ob is None:
                    self.note(path, 'object cannot be opened in either file')
                else:
                    self.d('objtype', path, 'object cannot be opened in %s' % ('A' if oa is None else 'B'))
                return
            ia, ib = self.A.info(oa), self.B.info(ob)
            self.nobj += 1
            if ia.type != ib.type:
                self.d('objtype', path, 'A is a %s, B a %s' % (ONAMES.get(ia.type), ONAMES.get(ib.type)))
                return
            self.ab('refcount', path, 'reference count', ia.rc, ib.rc)
            if self.on('times'):
                self.ab('times', path, 'times (a,m,c,b)', (ia.atime, ia.mtime, ia.ctime, ia.btime), (ib.atime, ib.mtime, ib.ctime, ib.btime))
            if self.on('comment'):
                self.ab('comment', path, 'comment', self.comment(oa), self.comment(ob))
            self.attrs(oa, ob, path, ia, ib)
            if ia.type == 0:
                self.group(oa, ob, path)
            elif ia.type == 1:
                self.dataset(oa, ob, path)
            elif ia.type == 2:
                self.named(oa, ob, path)
        finally:
            for o in (oa, ob):
                if o is not None:
                    L.H5Oclose(o)

    def comment(self, o):
        try:
            return self.L.sized(self.L.H5Oget_comment, o)
        except H5Error:
            return b''

    def corder_flags(self, p, fn):
        f = C.c_uint()
        try:
            getattr(self.L, fn)(p, C.byref(f))
            return f.value
        except H5Error:
            return None

    def obj_corder(self, o, info):
        L = self.L
        fn = {0: 'H5Gget_create_plist', 1: 'H5Dget_create_plist', 2: 'H5Tget_create_plist'}.get(info.type)
        if fn is None:
            return None
        try:
            p = getattr(L, fn)(o)
        except H5Error:
            return None
        try:
            return self.corder_flags(p, 'H5Pget_attr_creation_order')
        finally:
            L.H5Pclose(p)

    def ocpl(self, pa, pb, path):
        L = self.L
        self.ab('corder', path, 'attribute creation order flags', self.corder_flags(pa, 'H5Pget_attr_creation_order'), self.corder_flags(pb, 'H5Pget_attr_creation_order'))
        if self.on('tracktimes'):
            v = []
            for p in (pa, pb):
                b = C.c_bool()
                try:
                    L.H5Pget_obj_track_times(p, C.byref(b))
                    v.append(b.value)
                except H5Error:
                    v.append(None)
            self.ab('tracktimes', path, 'time tracking', *v)
        if self.on('phase'):
            self.two(pa, pb, path, 'H5Pget_attr_phase_change')

    def two(self, pa, pb, path, fn):
        v = []
        for p in (pa, pb):
            a, b = C.c_uint(), C.c_uint()
            try:
                getattr(self.L, fn)(p, C.byref(a), C.byref(b))
                v.append((a.value, b.value))
            except H5Error:
                v.append(None)
        self.ab('phase', path, fn[6:], *v)

    def links(self, oid):
        """name -> (class, cset, corder or None, token | target bytes)"""
        L = self.L
        out = OrderedDict()
        errs = []

        def cb(g, name, info, _):
            try:
                i = info.contents
                out[name] = [i.type, i.cset, i.corder if i.corder_valid else None,
                             i.u.token.key() if i.type == 0 else i.u.val_size]
            except Exception as e:     # never raise through C
                errs.append(e)
                return -1
            return 0
        f = LINK_CB(cb)
        L.H5Literate2(oid, 0, 2, None, f, None)
        for n, v in out.items():
            if v[0] != 0:
                b = C.create_string_buffer(v[3] + 1)
                try:
                    L.H5Lget_val(oid, n, b, v[3], 0)
                    v[3] = b.raw[:v[3]]
                except H5Error:
                    v[3] = b'?%d' % v[3]
        return out

    def rank(self, d, i):
        ks = [k for k in d if d[k][i] is not None]
        return [k for k in sorted(ks, key=lambda k: d[k][i])]

    def group(self, oa, ob, path):
        L = self.L
        fa = fb = None
        pls = self.both(path, 'corder', 'group creation properties', lambda: L.H5Gget_create_plist(oa), lambda: L.H5Gget_create_plist(ob))
        if pls:
            fa, fb = self.gcpl(pls[0], pls[1], path)
        ls = self.both(path, 'link', 'links of the group', lambda: self.links(oa), lambda: self.links(ob))
        if ls:
            self.group_links(ls[0], ls[1], fa, fb, path)

    def gcpl(self, pa, pb, path):
        L = self.L
        try:
            fa, fb = (self.corder_flags(p, 'H5Pget_link_creation_order') for p in (pa, pb))
            self.ab('corder', path, 'link creation order flags (1 tracked, 2 indexed)', fa, fb)
            self.ocpl(pa, pb, path)
            if self.on('phase'):
                self.two(pa, pb, path, 'H5Pget_link_phase_change')
                self.two(pa, pb, path, 'H5Pget_est_link_info')
            return fa, fb
        finally:
            L.H5Pclose(pa), L.H5Pclose(pb)

    def group_links(self, la, lb, fa, fb, path):
        for n in la:
            if n not in lb:
                self.d('link', path, 'link %s only in A' % show(n))
        for n in lb:
            if n not in la:
                self.d('link', path, 'link %s only in B' % show(n))
        common = [n for n in la if n in lb]
        if fa and fb:
            ra, rb = [n for n in self.rank(la, 2) if n in lb], [n for n in self.rank(lb, 2) if n in la]
            if ra != rb:
                k = next(i for i in range(min(len(ra), len(rb)) or 1) if i >= len(ra) or i >= len(rb) or ra[i] != rb[i])
                self.d('corder', path, 'links rank differently by creation order, first at place %d: A %s | B %s' % (
                    k, show(ra[k] if k < len(ra) else '-'), show(rb[k] if k < len(rb) else '-')))
        for n in common:
            a, b = la[n], lb[n]
            p = (path if path.endswith(b'/') else path + b'/') + n
            self.ab('linkcset', p, 'link name character set', a[1], b[1])
            self.ab('corderval', p, 'link creation order value', a[2], b[2])
            names = {0: 'hard', 1: 'soft', 64: 'external'}
            if a[0] != b[0]:
                self.d('link', p, 'A is a %s link, B a %s link' % (names.get(a[0], 'type %d' % a[0]), names.get(b[0], 'type %d' % b[0])))
            elif a[0] == 0:
                if self.pair(a[3], b[3], p):
                    self.queue.append((a[3], b[3], p))
            else:
                va, vb = a[3], b[3]
                if a[0] == 64:      # flags byte, file\0, object\0
                    va, vb = tuple(va[1:].split(b'\0')[:2]), tuple(vb[1:].split(b'\0')[:2])
                elif a[0] == 1:
                    va, vb = va.rstrip(b'\0'), vb.rstrip(b'\0')
                if va != vb:
                    self.d('link', p, '%s link target differs: A %s | B %s' % (names.get(a[0], 'user-defined'), show(va), show(vb)))

    # ---- attributes
    def attr_list(self, oid):
        out = OrderedDict()

        def cb(o, name, info, _):
            i = info.contents
            out[name] = [i.cset, i.corder if i.corder_valid else None]
            return 0
        f = ATTR_CB(cb)
        self.L.H5Aiterate2(oid, 0, 2, None, f, None)
        return out

    def attrs(self, oa, ob, path, ia, ib):
        L = self.L
        if not ia.num_attrs and not ib.num_attrs:
            return
        ls = []
        for o in (oa, ob):
            try:
                ls.append(self.attr_list(o))
            except H5Error:
                ls.append(None)
        la, lb = ls
        if la is None or lb is None:
            if la is None and lb is None:
                self.note(path, 'attributes cannot be listed in either file')
            else:
                self.d('attr', path, 'attributes cannot be listed in %s' % ('A' if la is None else 'B'))
            return
        for n in la:
            if n not in lb:
                self.d('attr', path, 'attribute %s only in A' % show(n))
        for n in lb:
            if n not in la:
                self.d('attr', path, 'attribute %s only in B' % show(n))
        ra, rb = [n for n in self.rank(la, 1) if n in lb], [n for n in self.rank(lb, 1) if n in la]
        if ra and rb and ra != rb and all(la[n][1] is not None and lb[n][1] is not None for n in ra + rb):
            tracked = all((self.obj_corder(o, i) or 0) & 1 for o, i in ((oa, ia), (ob, ib)))
            self.d('corder' if tracked else 'attrorder', path, 'attributes rank differently by creation order: A %s | B %s' % (
                show([show(x) for x in ra], 120), show([show(x) for x in rb], 120)))
        for n in la:
            if n not in lb:
                continue
            p = path + b'@' + n
            self.ab('attrcset', p, 'attribute name character set', la[n][0], lb[n][0])
            self.ab('corderval', p, 'attribute creation order value', la[n][1], lb[n][1])
            self.attr(oa, ob, n, p)

    def attr(self, oa, ob, name, p):
        L = self.L
        ids = []
        aa = ab = None
        self.nattr += 1
        try:
            for o in (oa, ob):
                try:
                    a = L.H5Aopen(o, name, 0)
                    t = L.H5Aget_type(a)
                    s = L.H5Aget_space(a)
                    ids.append((a, t, s, Type(L, t), get_space(L, s)))
                except H5Error as e:
                    ids.append(None)
            if None in ids:
                if ids[0] is ids[1]:
                    self.note(p, 'attribute cannot be opened in either file')
                else:
                    self.d('attr', p, 'attribute cannot be opened in %s' % ('A' if ids[0] is None else 'B'))
                return
            (aa, ta, sa, da, spa), (ab, tb, sb, db, spb) = ids
            same = self.cmp_type(da, db, ta, tb, p, 'attrtype')
            self.ab('attrspace', p, 'dataspace', space_text(spa), space_text(spb))
            if spa[0] == 1 and spb[0] == 1:
                self.ab('maxdims', p, 'maximum dimensions', spa[2], spb[2])
            if spa[:2] != spb[:2] or spa[0] == 2 or not self.data:
                return
            n = 1
            for x in spa[1]:
                n *= x
            if not n:
                return
            if n * da.size > self.max_bytes:
                self.note(p, 'attribute too big to compare')
                return
            mt = ta if not same else tb
            ba, bb = C.create_string_buffer(n * da.size), C.create_string_buffer(n * (db.size if same else da.size))
            ra = rb = True
            try:
                L.H5Aread(aa, ta, ba)
            except H5Error:
                ra = False
            try:
                L.H5Aread(ab, mt, bb)
            except H5Error:
                rb = False
            try:
                if not ra or not rb:
                    if ra == rb:
                        self.note(p, 'attribute unreadable in both files')
                    elif not same:
                        self.d('attrdata', p, 'values cannot be brought to one type')
                    else:
                        self.d('attrdata', p, 'unreadable in %s' % ('A' if not ra else 'B'))
                    return
                self.cmp_values(da, ba, db if same else da, bb, n, p, 'attrdata', spa[1], aa, ab)
            finally:
                if (da.vl or da.ref) and ra:
                    L.raw('H5Treclaim')(ta, sa, 0, ba)
                if (db.vl or db.ref) and rb:
                    L.raw('H5Treclaim')(mt, sb, 0, bb)
        finally:
            for x in ids:
                if x:
                    L.H5Sclose(x[2]), L.H5Tclose(x[1]), L.H5Aclose(x[0])

    # ---- types
    def cmp_type(self, da, db, ta, tb, p, cat):
        """True when values can be compared byte for byte"""
        L = self.L
        ka, kb = da.key(), db.key()
        if ka != kb:
            self.d(cat, p, 'datatype differs: A %s | B %s' % (show(da, 400), show(db, 400)))
        if self.on('committed'):
            c = []
            for f, t in ((self.A, ta), (self.B, tb)):
                try:
                    c.append(f.info(t).token.key() if L.H5Tcommitted(t) else None)
                except H5Error:
                    c.append(None)
            if (c[0] is None) != (c[1] is None):
                self.d('committed', p, 'committed datatype used only in %s' % ('B' if c[0] is None else 'A'))
            elif c[0] is not None:
                self.pending_refs.append((c[0], c[1], p + b' (datatype)'))
        return ka == kb

    def named(self, oa, ob, path):
        L = self.L
        da, db = Type(L, oa), Type(L, ob)
        if da.key() != db.key():
            self.d('type', path, 'committed datatype differs: A %s | B %s' % (show(da, 400), show(db, 400)))
        pa, pb = L.H5Tget_create_plist(oa), L.H5Tget_create_plist(ob)
        try:
            self.ocpl(pa, pb, path)
        finally:
            L.H5Pclose(pa), L.H5Pclose(pb)

    # ---- datasets
    def props(self, did, pl, t, sp):
        """creation properties of a dataset as a dict category -> comparable"""
        L = self.L
        r = {}
        lay = L.H5Pget_layout(pl)
        r['layout'] = LAYOUTS.get(lay, lay)
        if lay == 2:
            n = max(1, len(sp[1]))
            d = (hsize_t * (n + 1))()
            k = L.H5Pget_chunk(pl, n, d)
            r['chunks'] = tuple(d[:k])
        fl = []
        for i in range(L.H5Pget_nfilters(pl)):
            flags, cfg, ne = C.c_uint(), C.c_uint(), C.c_size_t(256)
            cd, nm = (C.c_uint * 256)(), C.create_string_buffer(256)
            f = L.H5Pget_filter2(pl, i, C.byref(flags), C.byref(ne), cd, 256, nm, C.byref(cfg))
            fl.append((f, flags.value, tuple(cd[:min(ne.value, 256)]), nm.value.decode('utf8', 'replace')))
        r['filters'] = tuple(fl)
        st = C.c_int()
        try:
            L.H5Pfill_value_defined(pl, C.byref(st))
            fv = {0: 'undefined', 1: 'default', 2: 'user-defined'}.get(st.value, st.value)
        except H5Error:
            fv = '?'
        r['fillstatus'] = fv
        i = C.c_int()
        L.H5Pget_fill_time(pl, C.byref(i))
        r['filltime'] = {0: 'alloc', 1: 'never', 2: 'ifset'}.get(i.value, i.value)
        L.H5Pget_alloc_time(pl, C.byref(i))
        r['alloctime'] = {0: 'default', 1: 'early', 2: 'late', 3: 'incr'}.get(i.value, i.value)
        ext = []
        n = L.H5Pget_external_count(pl)
        for k in range(n):
            nm = C.create_string_buffer(4096)
            o, z = C.c_int64(), hsize_t()
            L.H5Pget_external(pl, k, 4095, nm, C.byref(o), C.byref(z))
            ext.append((nm.value, o.value, 'UNLIMITED' if z.value == 2 ** 64 - 1 else z.value))
        r['external'] = tuple(ext)
        vm = []
        if lay == 3:
            n = C.c_size_t()
            L.H5Pget_virtual_count(pl, C.byref(n))
            for k in range(min(n.value, 100000)):
                a, b = L.H5Pget_virtual_vspace(pl, k), L.H5Pget_virtual_srcspace(pl, k)
                try:
                    vm.append((L.sized(L.H5Pget_virtual_filename, pl, k), L.sized(L.H5Pget_virtual_dsetname, pl, k),
                               selection(L, a), selection(L, b)))
                finally:
                    L.H5Sclose(a), L.H5Sclose(b)
        r['virtual'] = tuple(vm)
        return r

    def dataset(self, oa, ob, path):
        L = self.L
        ids = []

        def meta(o):
            t = L.H5Dget_type(o)
            s = L.H5Dget_space(o)
            p = L.H5Dget_create_plist(o)
            ty, sp = Type(L, t), get_space(L, s)
            x = (t, s, p, ty, sp, self.props(o, p, ty, sp))
            ids.append(x)
            return x
        try:
            if not self.both(path, 'type', 'type, space or properties of the dataset', lambda: meta(oa), lambda: meta(ob)):
                return
            (ta, sa, pa, da, spa, ra), (tb, sb, pb, db, spb, rb) = ids
            self.ocpl(pa, pb, path)
            same = self.cmp_type(da, db, ta, tb, path, 'type')
            self.ab('space', path, 'dataspace', space_text(spa), space_text(spb))
            if spa[0] == 1 and spb[0] == 1:
                self.ab('maxdims', path, 'maximum dimensions', spa[2], spb[2])
            for c in ('layout', 'chunks', 'filters', 'filltime', 'alloctime', 'external', 'virtual'):
                self.ab(c, path, c, ra.get(c), rb.get(c))
            self.fill(pa, pb, ta, tb, da, db, same, ra, rb, path, oa, ob)
            if self.on('storage'):
                self.ab('storage', path, 'allocated bytes', L.H5Dget_storage_size(oa), L.H5Dget_storage_size(ob))
            if not self.data or not self.on('data'):
                return
            if spa[:2] != spb[:2] or spa[0] == 2:
                return
            self.dset_data(oa, ob, path, ta, tb, da, db, same, spa, ra, rb)
        finally:
            for x in ids:
                L.H5Pclose(x[2]), L.H5Sclose(x[1]), L.H5Tclose(x[0])

    def fill(self, pa, pb, ta, tb, da, db, same, ra, rb, path, oa, ob):
        L = self.L
        if not self.on('fill'):
            return
        self.ab('fill', path, 'fill value status', ra['fillstatus'], rb['fillstatus'])
        if ra['fillstatus'] == rb['fillstatus'] == 'user-defined':
            ba, bb = C.create_string_buffer(da.size), C.create_string_buffer(max(da.size, db.size))
            mt = tb if same else ta
            ok = []
            for p, t, b in ((pa, ta, ba), (pb, mt, bb)):
                try:
                    L.H5Pget_fill_value(p, t, b)
                    ok.append(True)
                except H5Error:
                    ok.append(False)
            if ok == [True, True]:
                self.cmp_values(da, ba, db if same else da, bb, 1, path + b' (fill value)', 'fill', (), oa, ob)
            elif ok[0] != ok[1]:
                self.d('fill', path, 'fill value unreadable in %s' % ('A' if not ok[0] else 'B'))
            s = None
            try:
                s = L.H5Screate(0)
                for t, b, x, o in ((ta, ba, da, ok[0]), (mt, bb, db, ok[1])):
                    if o and (x.vl or x.ref):
                        L.raw('H5Treclaim')(t, s, 0, b)
            finally:
                if s:
                    L.H5Sclose(s)

    def allocated(self, o, props, sp, limit=200000):
        """coordinates of allocated chunks, or None when not to be had"""
        L = self.L
        n = hsize_t()
        L.H5Dget_num_chunks(o, 0, C.byref(n))
        if n.value > limit:
            return None
        r = len(sp[1])
        out = []
        off, m, a, z = (hsize_t * max(r, 1))(), C.c_uint(), C.c_uint64(), hsize_t()
        for i in range(n.value):
            L.H5Dget_chunk_info(o, 0, i, off, C.byref(m), C.byref(a), C.byref(z))
            out.append(tuple(off[:r]))
        return out

    def blocks(self, dims, size, step):
        """start/count boxes covering dims, each at most step bytes where possible"""
        r = len(dims)
        if not r:
            yield (), ()
            return
        cnt = [1] * r
        left = max(1, step // max(size, 1))
        for i in reversed(range(r)):
            cnt[i] = max(1, min(dims[i], left))
            left //= cnt[i]
            if left <= 1:
                break
        pos = [0] * r
        while True:
            yield tuple(pos), tuple(min(c, d - p) for c, d, p in zip(cnt, dims, pos))
            i = r - 1
            while i >= 0:
                pos[i] += cnt[i]
                if pos[i] < dims[i]:
                    break
                pos[i] = 0
                i -= 1
            if i < 0:
                return

    def dset_data(self, oa, ob, path, ta, tb, da, db, same, sp, ra, rb):
        L = self.L
        dims = sp[1]
        n = 1
        for x in dims:
            n *= x
        if n == 0:
            return
        es = max(da.size, db.size, 1)
        boxes = None
        if n * es > self.max_bytes:
            regions = set()
            ok = True
            for o, p in ((oa, ra), (ob, rb)):
                if p['layout'] == 'chunked':
                    try:
                        cs = self.allocated(o, p, sp)
                    except H5Error:
                        cs = None
                    if cs is None:
                        ok = False
                        break
                    for c in cs:
                        regions.add((c, tuple(min(k, d - x) for k, d, x in zip(p['chunks'], dims, c))))
                elif p['layout'] in ('contiguous', 'compact') and not p['external'] and L.H5Dget_storage_size(o) == 0:
                    pass
                else:
                    ok = False
                    break
            tot = 0
            for s, c in regions:
                k = 1
                for x in c:
                    k *= x
                tot += k * es
            if ok and tot <= self.max_bytes * 4:
                boxes = [b for b in regions if all(x > 0 for x in b[1])]
                boxes.sort()
                self.note(path, 'large dataset: the %d allocated chunks are compared, not the unallocated space' % len(boxes)) if False else None
            else:
                # sample: first and last block
                s = list(self.corner_boxes(dims, es))
                boxes = s
                self.note(path, 'dataset of %d bytes: only its first and last blocks are compared' % (n * es))
        if boxes is None:
            boxes = self.blocks(dims, es, 8 << 20)
        unread = 0
        for start, count in boxes:
            k = 1
            for x in count:
                k *= x
            self.nelem += k
            if k * es > 1 << 30:
                self.note(path, 'one chunk of %d bytes not compared' % (k * es))
                continue
            r = self.one_box(oa, ob, path, ta, tb, da, db, same, dims, start, count, k)
            if r == 'stop':
                return
            if r == 'unread':
                unread += 1
                if unread == 1:
                    if not self.raw_chunks(oa, ob, path, ra, rb, sp):
                        self.note(path, 'data unreadable in both files (missing filter, plugin or file): not compared')
                    return

    def corner_boxes(self, dims, es):
        r = len(dims)
        cnt = [1] * r
        left = max(1, (4 << 20) // es)
        for i in reversed(range(r)):
            cnt[i] = max(1, min(dims[i], left))
            left //= cnt[i]
            if left <= 1:
                break
        yield (0,) * r, tuple(cnt)
        yield tuple(d - c for d, c in zip(dims, cnt)), tuple(cnt)

    def one_box(self, oa, ob, path, ta, tb, da, db, same, dims, start, count, k):
        L = self.L
        r = len(dims)
        bufs, oks, spaces = [], [], []
        mt = tb if same else ta
        for o, t, d in ((oa, ta, da), (ob, mt, db if same else da)):
            buf = C.create_string_buffer(max(1, k * d.size))
            ms = fs = None
            try:
                if r == 0:
                    ms = L.H5Screate(0)
                    L.H5Dread(o, t, 0, 0, 0, buf)
                else:
                    fs = L.H5Dget_space(o)
                    hs = (hsize_t * r)(*start)
                    hc = (hsize_t * r)(*count)
                    L.H5Sselect_hyperslab(fs, 0, hs, None, hc, None)
                    ms = L.H5Screate_simple(1, (hsize_t * 1)(k), None)
                    L.H5Dread(o, t, ms, fs, 0, buf)
                oks.append(True)
            except H5Error:
                oks.append(False)
            finally:
                if fs is not None:
                    L.H5Sclose(fs)
            bufs.append(buf)
            spaces.append((ms, t, d))
        try:
            if oks == [False, False]:
                if self.L.load_h5py():
                    return self.one_box(oa, ob, path, ta, tb, da, db, same, dims, start, count, k)
                return 'unread'
            if oks[0] != oks[1]:
                if not same:
                    self.d('data', path, 'values cannot be brought to one type')
                else:
                    self.d('data', path, 'data unreadable in %s' % ('A' if not oks[0] else 'B'))
                return 'stop'
            nd = self.cmp_values(da, bufs[0], db if same else da, bufs[1], k, path, 'data', dims, oa, ob, start, count)
            return 'stop' if nd and self.counts.get('data', 0) > self.max_per and self.quiet else None
        finally:
            for buf, ok, (ms, t, d) in zip(bufs, oks, spaces):
                if ms is not None:
                    if ok and (d.vl or d.ref):
                        L.raw('H5Treclaim')(t, ms, 0, buf)
                    L.H5Sclose(ms)

    def raw_chunks(self, oa, ob, path, ra, rb, sp):
        """compare stored chunk bytes where the filters cannot be run"""
        L = self.L
        if ra['layout'] != 'chunked' or rb['layout'] != 'chunked' or ra['chunks'] != rb['chunks']:
            return False
        maps = []
        for o, f in ((oa, self.A), (ob, self.B)):
            try:
                n = hsize_t()
                L.H5Dget_num_chunks(o, 0, C.byref(n))
            except H5Error:
                return False
            r = len(sp[1])
            d = {}
            off, m, a, z = (hsize_t * max(r, 1))(), C.c_uint(), C.c_uint64(), hsize_t()
            ub = hsize_t()
            p = L.H5Fget_create_plist(f.fid)
            L.H5Pget_userblock(p, C.byref(ub))
            L.H5Pclose(p)
            for i in range(n.value):
                L.H5Dget_chunk_info(o, 0, i, off, C.byref(m), C.byref(a), C.byref(z))
                d[tuple(off[:r])] = (m.value, a.value + ub.value, z.value)
            maps.append(d)
        ma, mb = maps
        if set(ma) != set(mb):
            self.d('data', path, 'sets of stored chunks differ (%d | %d); filters cannot be run here' % (len(ma), len(mb)))
            return True
        with open(self.A.path, 'rb') as x, open(self.B.path, 'rb') as y:
            for c in ma:
                try:
                    x.seek(ma[c][1]), y.seek(mb[c][1])
                    eq = ma[c][0] == mb[c][0] and x.read(ma[c][2]) == y.read(mb[c][2])
                except (OSError, OverflowError, MemoryError):
                    self.note(path, 'a stored chunk has an impossible address: not compared')
                    return True
                if not eq:
                    self.d('data', path, 'stored bytes of chunk %s differ; filters cannot be run here' % (list(c),))
        self.note(path, 'filters cannot be run here: %d stored chunks compared byte for byte' % len(ma))
        return True

    # ---- values
    def index(self, i, dims, start, count):
        if not dims:
            return ''
        if start is None:
            start, count = (0,) * len(dims), dims
        out = []
        for s, c in zip(reversed(start), reversed(count)):
            out.append(s + i % c)
            i //= c
        return str(list(reversed(out)))

    def cmp_values(self, da, ba, db, bb, n, path, cat, dims, oa, ob, start=None, count=None):
        """compare n elements; returns number of differing ones"""
        same = da is db or da.key() == db.key()
        special = da.vl or da.ref
        sa, sb = da.size, db.size
        if same and not special:
            ra, rb = C.string_at(ba, n * sa), C.string_at(bb, n * sb)
            if ra == rb:
                return 0
        else:
            ra, rb = C.string_at(ba, n * sa), C.string_at(bb, n * sb)
        nd = pad = 0
        first = None
        for i in range(n):
            x, y = ra[i * sa:(i + 1) * sa], rb[i * sb:(i + 1) * sb]
            if not special and same and x == y:
                continue
            if not self.eq(da, x, db, y, path, oa, ob):
                if first is None:
                    first = (i, self.text(da, x, oa), self.text(db, y, ob))
                nd += 1
            elif not special and same:
                pad += 1
        if nd:
            i, x, y = first
            self.d(cat, path, '%d of %d elements differ, first at %s: A %s | B %s' % (
                nd, n, self.index(i, dims, start, count) or 'the scalar', show(x, 120), show(y, 120)))
        elif pad:
            self.d('padding', path, '%d of %d elements differ only in bytes without meaning' % (pad, n))
        return nd

    @staticmethod
    def vl(x):
        return struct.unpack('=QQ', x[:16])

    def eq(self, da, x, db, y, path, oa, ob):
        c = da.cls
        if c == T_COMPOUND:
            for (n1, o1, t1), (n2, o2, t2) in zip(da.members, db.members):
                a, b = x[o1:o1 + t1.size], y[o2:o2 + t2.size]
                if (t1.vl or t1.ref or a != b) and not self.eq(t1, a, t2, b, path, oa, ob):
                    return False
            return len(da.members) == len(db.members)
        if c == T_STRING:
            if da.vl:
                pa, pb = struct.unpack('=Q', x[:8])[0], struct.unpack('=Q', y[:8])[0]
                a = C.string_at(pa) if pa else None
                b = C.string_at(pb) if pb else None
                if a == b:
                    return True
                # a null pointer and an empty string are told apart only under --strict
                return (a or b'') == (b or b'') and not self.on('padding')
            return self.fixstr(da, x) == self.fixstr(db, y)
        if c == T_REF:
            return self.eq_ref(da, x, y, path, oa, ob)
        if c == T_VLEN:
            (na, pa), (nb, pb) = self.vl(x), self.vl(y)
            if na != nb:
                return False
            if not na:
                return True
            s1, s2 = da.base.size, db.base.size
            a, b = C.string_at(pa, na * s1), C.string_at(pb, nb * s2)
            if not (da.base.vl or da.base.ref) and s1 == s2 and a == b:
                return True
            return all(self.eq(da.base, a[i * s1:(i + 1) * s1], db.base, b[i * s2:(i + 1) * s2], path, oa, ob) for i in range(na))
        if c == T_ARRAY:
            if not (da.vl or da.ref) and x == y:
                return True
            s1, s2 = da.base.size, db.base.size
            k = 1
            for q in da.dims:
                k *= q
            return all(self.eq(da.base, x[i * s1:(i + 1) * s1], db.base, y[i * s2:(i + 1) * s2], path, oa, ob) for i in range(k))
        if c == T_ENUM:
            return x == y or self.eq(da.base, x, db.base, y, path, oa, ob)
        if c in (T_INT, T_BITFIELD, T_FLOAT) and not da.plain:
            return self.bits(da, x) == self.bits(db, y)
        return x == y

    @staticmethod
    def bits(d, x):
        p = dict(d.p)
        v = int.from_bytes(x, 'big' if p['order'] == 1 else 'little')
        return (v >> p['offset']) & ((1 << p['precision']) - 1)

    @staticmethod
    def fixstr(d, x):
        pad = dict(d.p)['strpad']
        if pad == 0:
            return x.split(b'\0', 1)[0]
        if pad == 1:
            return x.rstrip(b'\0')
        return x.rstrip(b' ')

    # ---- references
    def deref(self, f, o, d, x):
        """('null',) | ('bad', hex) | (kind, fileno-own?, token, extra)"""
        L = self.L
        kind = dict(d.p)['kind']
        buf = C.create_string_buffer(bytes(x), max(len(x), 64))
        if not any(x):
            return ('null',)
        t = None
        try:
            if kind in ('object', 'region'):
                k = 0 if kind == 'object' else 1
                t = L.H5Rdereference2(o, 0, k, buf)
                extra = ()
                if k == 1:
                    s = L.H5Rget_region(o, 1, buf)
                    try:
                        extra = selection(L, s)
                    finally:
                        L.H5Sclose(s)
                return (kind, None, f.info(t).token.key(), extra)
            if kind == 'std':
                rt = L.H5Rget_type(buf)
                extra = ()
                fn = None
                t = L.H5Ropen_object(buf, 0, 0)
                if rt == 3:
                    s = L.H5Ropen_region(buf, 0, 0)
                    try:
                        extra = selection(L, s)
                    finally:
                        L.H5Sclose(s)
                elif rt == 4:
                    extra = (L.sized(L.H5Rget_attr_name, buf),)
                i = f.info(t)
                if i.fileno != f.fileno:
                    fn = os.path.basename(L.sized(L.H5Rget_file_name, buf))
                return ('std%d' % rt, fn, i.token.key(), extra)
        except H5Error:
            pass
        finally:
            if t is not None:
                try:
                    L.H5Oclose(t)
                except H5Error:
                    pass
        return ('bad', None, bytes(x) if kind != 'std' else b'', ())

    def eq_ref(self, d, x, y, path, oa, ob):
        a, b = self.deref(self.A, oa, d, x), self.deref(self.B, ob, d, y)
        if a[0] != b[0]:
            return False
        if a[0] in ('null', 'bad'):
            return True
        if a[1] != b[1] or a[3] != b[3]:
            return False
        if a[1] is not None:
            return a[2] == b[2]
        if self.on('refs'):
            if self.mapAB.get(a[2]) == b[2]:
                return True
            self.pending_refs.append((a[2], b[2], path))
        return True

    # ---- text of a value for messages
    def text(self, d, x, o, depth=0):
        try:
            c = d.cls
            if c in (T_INT, T_ENUM):
                b = d.base if c == T_ENUM else d
                p = dict(b.p)
                v = self.bits(b, x)
                if p.get('sign') and v >> (p['precision'] - 1):
                    v -= 1 << p['precision']
                return str(v)
            if c == T_FLOAT and d.size in (4, 8):
                e = '>' if dict(d.p)['order'] == 1 else '<'
                return repr(struct.unpack(e + ('f' if d.size == 4 else 'd'), x)[0])
            if c == T_STRING:
                if d.vl:
                    p = struct.unpack('=Q', x[:8])[0]
                    return repr(C.string_at(p)) if p else 'NULL'
                return repr(self.fixstr(d, x))
            if c == T_COMPOUND and depth < 3:
                return '{' + ', '.join(self.text(t, x[q:q + t.size], o, depth + 1) for n, q, t in d.members[:12]) + '}'
            if c == T_ARRAY and depth < 3:
                k = 1
                for q in d.dims:
                    k *= q
                s = d.base.size
                return '[' + ','.join(self.text(d.base, x[i * s:(i + 1) * s], o, depth + 1) for i in range(min(k, 8))) + ']'
            if c == T_VLEN and depth < 3:
                n, p = self.vl(x)
                s = d.base.size
                b = C.string_at(p, min(n, 8) * s) if n else b''
                return '(%d)[' % n + ','.join(self.text(d.base, b[i * s:(i + 1) * s], o, depth + 1) for i in range(min(n, 8))) + ']'
            return x[:32].hex()
        except Exception:
            return bytes(x[:32]).hex()


def compare(a, b, lib=None, **kw):
    """library use: returns (counts, lines, notes); raises H5Error when a file does not open"""
    L = lib or Lib()
    fa = File(L, a)
    try:
        fb = File(L, b)
        try:
            d = Diff(L, fa, fb, **kw)
            d.run()
            return d.counts, d.lines, d.notes
        finally:
            fb.close()
    finally:
        fa.close()


def main(argv=None):
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('a')
    ap.add_argument('b')
    ap.add_argument('--ignore', action='append', default=[], metavar='CAT,..', help='categories not to compare (repeatable)')
    ap.add_argument('--only', metavar='CAT,..', help='compare only these categories')
    ap.add_argument('--preset', action='append', default=[], choices=sorted(PRESETS), help='named sets of categories to ignore: ' + '; '.join('%s' % k for k in PRESETS))
    ap.add_argument('--strict', action='store_true', help='also compare what is off by default')
    ap.add_argument('--no-data', action='store_true', help='structure only')
    ap.add_argument('--max', type=int, default=20, help='lines printed per category')
    ap.add_argument('--max-bytes', type=int, default=1 << 28, help='datasets above this size: only allocated chunks, or first/last block')
    ap.add_argument('--path', default='/', help='compare from this object on (A; and B unless --bpath)')
    ap.add_argument('--bpath')
    ap.add_argument('--lib', help='libhdf5 to use')
    ap.add_argument('--stats', action='store_true', help='print counts of objects, attributes, elements compared')
    ap.add_argument('--json', action='store_true')
    ap.add_argument('-q', '--quiet', action='store_true', help='print nothing but errors')
    o = ap.parse_args(argv)
    os.environ.setdefault('HDF5_EXTFILE_PREFIX', '${ORIGIN}')
    if 'HDF5_PLUGIN_PATH' not in os.environ:
        try:
            import importlib.util
            sp = importlib.util.find_spec('hdf5plugin')
            if sp:
                os.environ['HDF5_PLUGIN_PATH'] = os.path.join(os.path.dirname(sp.origin), 'plugins')
        except Exception:
            pass
    ign = set() if o.strict else set(DEFAULT_OFF)
    for p in o.preset:
        ign |= set(PRESETS[p].split())
    for i in o.ignore:
        ign |= set(x for x in i.replace(' ', ',').split(',') if x)
    if o.only:
        ign = set(ALL_CATS) - set(o.only.split(','))
    bad = ign - set(ALL_CATS)
    if bad:
        ap.error('unknown categories: ' + ' '.join(sorted(bad)) + '\nknown: ' + ' '.join(ALL_CATS))
    L = Lib(o.lib)
    fs = []
    for p in (o.a, o.b):
        try:
            fs.append(File(L, p))
        except H5Error:
            print('h5deepdiff: cannot open %s as HDF5' % p, file=sys.stderr)
            return 2
    d = Diff(L, fs[0], fs[1], ign, o.max, not o.no_data, o.max_bytes, o.quiet)
    try:
        d.run(os.fsencode(o.path), os.fsencode(o.bpath or o.path))
    except H5Error as e:
        print('h5deepdiff: library call %s failed at the root' % e, file=sys.stderr)
        return 2
    if o.json:
        print(json.dumps({'differences': d.counts, 'lines': d.lines, 'notes': d.notes,
                          'objects': d.nobj, 'attributes': d.nattr, 'elements': d.nelem, 'libhdf5': '%d.%d.%d' % L.version}))
    elif not o.quiet:
        for x in d.lines + d.notes:
            print(x)
        if o.stats:
            print('compared %d objects, %d attributes, %d elements (libhdf5 %d.%d.%d)' % ((d.nobj, d.nattr, d.nelem) + L.version))
        if d.counts:
            print('differences: ' + ', '.join('%s %d' % kv for kv in d.counts.items()))
    return 1 if d.counts else 0


if __name__ == '__main__':
    sys.exit(main())
