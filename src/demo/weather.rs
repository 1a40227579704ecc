//! `weather.nc`: a netCDF-4 file: coordinates, and variables in compressed chunks, some of which were never written.

use std::io;

use bytes::Bytes;
use serde_json::{Value, json};

use super::writer::{
    Attributes, Bucket, Dataset, FileWriter, compound, gzip, hard, list, number, prefixed, reference, refers_to,
    scalar, sequence, shuffle, string, text, words,
};
use crate::codec::{self, blosc};
use crate::model::pipeline::Filter;
use crate::source::hsds::id::{Id, IdKind};

const HALF: u64 = 0x5ea7_0e12_0a31_4c90;

const TIMES: u64 = 48;
const LATS: u64 = 46;
const LONS: u64 = 90;
/// Half a day by a quarter of the globe.
const CHUNK: [u64; 3] = [12, 23, 45];
/// Netcdf's fill value of floats, and the one this file gives its packed integers.
const FILL_FLOAT: f32 = 9.969_21e36;
const FILL_SHORT: i16 = -32768;

const STATIONS: [&str; 5] = ["Abisko", "Bergen", "Coruña", "Dębica", "Évora"];

/// A dimension: its coordinate variable, and where it is used (variable, position).
struct Dimension {
    name: &'static str,
    id: Id,
    number: u32,
    used: Vec<(Id, u32)>,
}

/// Writes the file.
pub fn write(bucket: &Bucket, path: &str) -> io::Result<()> {
    let mut file = FileWriter::new(bucket, HALF);
    let [time, lat, lon, temperature, precipitation, cloud, station] =
        std::array::from_fn(|_| file.identify(IdKind::Dataset));
    let grids = [temperature, precipitation, cloud];
    let dimension = |name, id, number, place: Option<u32>| Dimension {
        name,
        id,
        number,
        used: place.into_iter().flat_map(|place| grids.iter().map(move |grid| (*grid, place))).collect(),
    };
    let axes =
        [dimension("time", time, 0, Some(0)), dimension("lat", lat, 1, Some(1)), dimension("lon", lon, 2, Some(2))];

    let hours = Dataset { grows: true, chunk: vec![512], ..Dataset::whole(number("H5T_IEEE_F64LE"), &[TIMES]) };
    let units = [("units", words("hours since 2026-01-01 00:00:00")), ("calendar", words("standard"))];
    file.dataset(&time, &scale(&axes[0], &units), &hours)?;
    file.chunk(&time, &[0], &doubles((0..512).map(|hour| if hour < TIMES { hour as f64 } else { 0.0 })))?;
    let degrees = |count| Dataset::whole(number("H5T_IEEE_F32LE"), &[count]);
    file.dataset(&lat, &scale(&axes[1], &[("units", words("degrees_north"))]), &degrees(LATS))?;
    file.chunk(&lat, &[0], &singles((0..LATS).map(latitude)))?;
    file.dataset(&lon, &scale(&axes[2], &[("units", words("degrees_east"))]), &degrees(LONS))?;
    file.chunk(&lon, &[0], &singles((0..LONS).map(|at| at as f32 * 4.0)))?;

    let grid = |datatype, filters, fill| Dataset {
        datatype: number(datatype),
        dims: vec![TIMES, LATS, LONS],
        grows: true,
        chunk: CHUNK.to_vec(),
        filters,
        fill: Some(fill),
    };
    let packed = [Filter::Shuffle, Filter::Deflate(4)];
    let compressed =
        |element, plain: Vec<u8>| codec::encode(&packed, element, Bytes::from(plain)).map_err(io::Error::other);

    let about = [("units", words("K")), ("long_name", words("air temperature at 2 m"))];
    let fill = ("_FillValue", list(number("H5T_IEEE_F32LE"), vec![json!(FILL_FLOAT)]));
    let described = variable(&axes, &[&about[..], &[fill]].concat());
    let dataset = grid("H5T_IEEE_F32LE", vec![shuffle(), gzip(4)], json!(FILL_FLOAT));
    file.dataset(&temperature, &described, &dataset)?;
    for (chunk, points) in chunks() {
        let plain = singles(points.map(|point| point.map_or(FILL_FLOAT, kelvin)));
        file.chunk(&temperature, &chunk, &compressed(4, plain)?)?;
    }

    // The second day was never written: those chunks are no objects, and read as the fill value.
    let about = [("units", words("mm h-1")), ("long_name", words("precipitation, forecast of the first day only"))];
    let scaling = [
        ("scale_factor", list(number("H5T_IEEE_F32LE"), vec![json!(0.01)])),
        ("add_offset", list(number("H5T_IEEE_F32LE"), vec![json!(0.0)])),
        ("_FillValue", list(number("H5T_STD_I16LE"), vec![json!(FILL_SHORT)])),
    ];
    let described = variable(&axes, &[&about[..], &scaling].concat());
    let dataset = grid("H5T_STD_I16LE", vec![shuffle(), gzip(4)], json!(FILL_SHORT));
    file.dataset(&precipitation, &described, &dataset)?;
    for (chunk, points) in chunks().filter(|(chunk, _)| chunk[0] < 2) {
        let values = points.map(|point| point.map_or(FILL_SHORT, |point| (rain(point) * 100.0) as i16));
        let plain = values.flat_map(i16::to_le_bytes).collect();
        file.chunk(&precipitation, &chunk, &compressed(2, plain)?)?;
    }

    // Blosc frames, as HSDS writes them under this filter.
    let lz4 = json!({"class": "H5Z_FILTER_LZ4", "id": 32004, "name": "lz4"});
    let described = variable(&axes, &[("units", words("percent")), ("long_name", words("cloud cover"))]);
    file.dataset(&cloud, &described, &grid("H5T_STD_U8LE", vec![lz4], json!(255)))?;
    for (chunk, points) in chunks() {
        let plain: Vec<u8> = points.map(|point| point.map_or(255, |point| (rain(point) * 20.0) as u8)).collect();
        file.chunk(&cloud, &chunk, &blosc::encode_stored(&plain).map_err(io::Error::other)?)?;
    }

    let axis = Dimension { name: "station", id: station, number: 3, used: Vec::new() };
    let strings = Dataset::whole(text(), &[STATIONS.len() as u64]);
    file.dataset(&station, &scale(&axis, &[("long_name", words("names of stations"))]), &strings)?;
    file.chunk(&station, &[0], &prefixed(STATIONS.iter().map(|name| name.as_bytes().to_vec())))?;

    let attributes = vec![
        ("_NCProperties", words("version=2,netcdf=4.9.2,hdf5=1.14.3")),
        ("title", words("Two days of made-up weather")),
        ("Conventions", words("CF-1.8")),
        ("history", scalar(text(), json!("made by h5mount demo"))),
    ];
    let links = [
        ("time", hard(&time)),
        ("lat", hard(&lat)),
        ("lon", hard(&lon)),
        ("temperature", hard(&temperature)),
        ("precipitation", hard(&precipitation)),
        ("cloud", hard(&cloud)),
        ("station", hard(&station)),
    ];
    file.group(&file.root(), &attributes, &links)?;
    file.publish(path)
}

/// Attributes of a coordinate variable: what makes it a dimension scale, and its own.
fn scale(dimension: &Dimension, own: &[(&'static str, Value)]) -> Attributes {
    let mut attributes = vec![
        // The string type that the HDF5 library gives these two.
        ("CLASS", scalar(string(16), json!("DIMENSION_SCALE"))),
        ("NAME", words(dimension.name)),
        ("_Netcdf4Dimid", scalar(number("H5T_STD_I32LE"), json!(dimension.number))),
    ];
    if !dimension.used.is_empty() {
        let entry = compound(&[("dataset", reference()), ("dimension", number("H5T_STD_I32LE"))]);
        let used = dimension.used.iter().map(|(user, place)| json!([refers_to(user), place])).collect();
        attributes.push(("REFERENCE_LIST", list(entry, used)));
    }
    attributes.extend_from_slice(own);
    attributes
}

/// Attributes of a variable over `axes`: the dimensions it has, and its own.
fn variable(axes: &[Dimension], own: &[(&'static str, Value)]) -> Attributes {
    let scales = axes.iter().map(|axis| json!([refers_to(&axis.id)])).collect();
    let mut attributes = vec![("DIMENSION_LIST", list(sequence(reference()), scales))];
    attributes.extend_from_slice(own);
    attributes
}

/// All chunks of the grid, each with its points in C order; `None` where the chunk hangs over the edge.
fn chunks() -> impl Iterator<Item = ([u64; 3], impl Iterator<Item = Option<[u64; 3]>>)> {
    let [times, lats, lons] =
        [TIMES, LATS, LONS].iter().zip(CHUNK).map(|(extent, chunk)| extent.div_ceil(chunk)).collect::<Vec<_>>()[..]
    else {
        unreachable!("three dimensions")
    };
    let coordinates = (0..times * lats * lons).map(move |n| [n / (lats * lons), n / lons % lats, n % lons]);
    coordinates.map(|chunk| {
        let [_, rows, columns] = CHUNK;
        let points = (0..CHUNK.iter().product()).map(move |n: u64| {
            let inside = [n / (rows * columns), n / columns % rows, n % columns];
            let point: [u64; 3] = std::array::from_fn(|axis| chunk[axis] * CHUNK[axis] + inside[axis]);
            point.iter().zip([TIMES, LATS, LONS]).all(|(at, extent)| *at < extent).then_some(point)
        });
        (chunk, points)
    })
}

fn latitude(at: u64) -> f32 {
    at as f32 * 4.0 - 90.0
}

/// Temperature at a point: warm at the equator and in the afternoon, with some waves, to two decimals.
fn kelvin([time, lat, lon]: [u64; 3]) -> f32 {
    let latitude = latitude(lat).to_radians();
    let longitude = (lon as f32 * 4.0).to_radians();
    let sun = (longitude + (time as f32 - 12.0) / 12.0 * std::f32::consts::PI).cos();
    let waves = (latitude * 6.0 + longitude * 3.0 + time as f32 * 0.1).sin();
    let value = 250.0 + 50.0 * latitude.cos() + 6.0 * sun * latitude.cos() + 2.5 * waves;
    (value * 100.0).round() / 100.0
}

/// Precipitation at a point, in mm an hour: bands that move east.
fn rain([time, lat, lon]: [u64; 3]) -> f32 {
    let wave = (lon as f32 * 0.2 - time as f32 * 0.1).sin() + (lat as f32 * 0.3).cos();
    (wave - 0.8).max(0.0) * 4.0
}

fn singles(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

fn doubles(values: impl Iterator<Item = f64>) -> Vec<u8> {
    values.flat_map(f64::to_le_bytes).collect()
}
