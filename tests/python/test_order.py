"""Order of creation: kept where a store says that it was tracked, by name elsewhere; seen by index and by programs."""

import json
import subprocess

import conftest
import h5py
import mounting
import netCDF4
import pytest
import writer


def stored(store, number):
    """Names of links and attributes of a root by the time at which the server made them."""
    digits = number[2:].replace("-", "")
    document = json.loads((store / ("db/%s-%s/.group.json" % (digits[:8], digits[8:16]))).read_text())
    return [sorted(document[what], key=lambda name, of=document[what]: (of[name]["created"], name))
            for what in ("links", "attributes")]


@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_netcdf_files_are_in_the_order_of_the_store(version, stores, mounts):
    """Variables, dimensions and attributes come as `created` says; attributes so as in the file that was loaded."""
    name = "home/admin/nc4.nc"
    root = json.loads((stores[version] / name / ".domain.json").read_text())["root"]
    links, attributes = stored(stores[version], root)
    dump = subprocess.run(["h5dump", "-q", "creation_order", "-n", mounts[version] / name], capture_output=True,
                          text=True, check=True, timeout=60).stdout
    listed = [line.split()[1] for line in dump.splitlines() if line.split()[:1] == ["dataset"] or "group" in line]
    assert [path[1:] for path in listed if path.count("/") == 1 and path != "/"] == links
    with netCDF4.Dataset(mounts[version] / name) as file, netCDF4.Dataset(conftest.DATA / "src/nc4.nc") as source:
        shown = [name for name in links if name in file.variables]
        assert list(file.variables) == shown and set(shown) == set(source.variables)
        assert file.ncattrs() == source.ncattrs() == [name for name in attributes if name != "_NCProperties"]
        for variable in shown:
            assert file[variable].ncattrs() == source[variable].ncattrs(), variable
        # A variable's data depend on the order of dimensions, whatever the order of their definition.
        assert all(file[name].dimensions == source[name].dimensions for name in shown)


@pytest.mark.parametrize("version", conftest.VERSIONS)
def test_what_the_loaders_did_not_keep_is_by_name(version, mounts):
    """order.h5 was tracked; the loaders write no `CreateOrder`, and times of their own."""
    with h5py.File(mounts[version] / "home/admin/order.h5") as file:
        assert list(file) == sorted(file) and list(file["zulu"].attrs) == sorted(file["zulu"].attrs)


@pytest.mark.parametrize("count", [5, 300])
def test_tracked_groups_are_in_order_of_creation(count, tmp_path):
    """`CreateOrder` of the schema, in compact and in dense storage, by times that are no order of names."""
    bucket = writer.Bucket(tmp_path / "bucket")
    domain = writer.Domain(bucket, "file.h5")
    names = ["%03d" % (i * 7 % 1009) for i in range(count)]
    wanted = {}
    for what, tracked in (("kept", 1), ("free", 0)):
        group = domain.group(None, what)
        domain.objects[group]["creationProperties"] = {"CreateOrder": tracked}
        for name in names:
            domain.group(group, name)
            domain.attribute(group, name, writer.I32, 1)
        wanted[what] = names if tracked else sorted(names)
    domain.write()
    with mounting.mounted(bucket.folder, folder=tmp_path / "run") as mount:
        with h5py.File(mount / "file.h5") as file:
            for what, order in wanted.items():
                group = file[what]
                assert list(group) == order and list(group.attrs) == order, what
                tracked = group.id.get_create_plist().get_link_creation_order() & h5py.h5p.CRT_ORDER_TRACKED
                assert bool(tracked) == (what == "kept")
            by_index, kept = [], file["kept"]
            for i in range(count):
                info = kept.id.links.get_info(names[i].encode())
                by_index.append((info.corder_valid, info.corder))
            assert by_index == [(True, i) for i in range(count)]
        dump = subprocess.run(["h5dump", "-q", "creation_order", "-n", mount / "file.h5"], capture_output=True, text=True,
                              check=True, timeout=60).stdout
        listed = [line.split()[1] for line in dump.splitlines() if "/kept/" in line]
        assert [path.removeprefix("/kept/") for path in listed] == names
