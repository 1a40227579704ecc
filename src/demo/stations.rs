//! `stations.h5`: a table of a committed type, ragged arrays, an object reference and links of all kinds.

use std::io;

use serde_json::{Value, json};

use super::writer::{
    Bucket, Dataset, FileWriter, compound, gzip, hard, number, prefixed, reference, refers_to, scalar, sequence,
    string, words,
};
use crate::codec::deflate;
use crate::source::hsds::id::IdKind;

const HALF: u64 = 0x1d4f_93b2_77c0_5a68;

/// Bytes of a name in the table, the terminator included.
const NAME: usize = 16;

/// Name, latitude, longitude, metres above the sea, whether it still reports.
const TABLE: [(&str, f32, f32, i16, bool); 5] = [
    ("Abisko", 68.36, 18.82, 388, true),
    ("Bergen", 60.38, 5.33, 12, true),
    ("Coruna", 43.37, -8.42, 58, false),
    ("Debica", 50.05, 21.41, 195, true),
    ("Evora", 38.57, -7.91, 309, true),
];

/// Writes the file.
pub fn write(bucket: &Bucket, path: &str) -> io::Result<()> {
    let mut file = FileWriter::new(bucket, HALF);
    let network = file.identify(IdKind::Group);
    let row = file.identify(IdKind::Datatype);
    let [stations, readings] = std::array::from_fn(|_| file.identify(IdKind::Dataset));

    // `mapping` is how both dialects read an enumeration; this one is HDF5's boolean.
    let boolean = json!({"class": "H5T_ENUM", "base": number("H5T_STD_I8LE"), "mapping": {"FALSE": 0, "TRUE": 1}});
    let fields = compound(&[
        ("id", number("H5T_STD_I32LE")),
        ("name", string(NAME)),
        ("lat", number("H5T_IEEE_F32LE")),
        ("lon", number("H5T_IEEE_F32LE")),
        ("elevation", number("H5T_STD_I16LE")),
        ("reports", boolean),
    ]);
    file.datatype(&row, &fields)?;

    // A dataset of a committed type holds a copy of it that names it.
    let mut committed = fields;
    if let Value::Object(fields) = &mut committed {
        fields.insert("id".into(), json!(row.to_string()));
    }
    let count = TABLE.len() as u64;
    let table = Dataset { filters: vec![gzip(6)], ..Dataset::whole(committed, &[count]) };
    file.dataset(&stations, &vec![("description", words("where measurements are taken"))], &table)?;
    let mut plain = Vec::new();
    for ((name, lat, lon, elevation, reports), id) in TABLE.iter().zip(101i32..) {
        let mut padded = [0; NAME];
        padded.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte);
        plain.extend_from_slice(&id.to_le_bytes());
        plain.extend_from_slice(&padded);
        plain.extend_from_slice(&lat.to_le_bytes());
        plain.extend_from_slice(&lon.to_le_bytes());
        plain.extend_from_slice(&elevation.to_le_bytes());
        plain.push(u8::from(*reports));
    }
    file.chunk(&stations, &[0], &deflate::encode(&plain, 6))?;

    // As many readings as there were: none, one, two …
    let ragged = Dataset::whole(sequence(number("H5T_IEEE_F32LE")), &[count]);
    let about = vec![("units", words("m s-1")), ("of", scalar(reference(), refers_to(&stations)))];
    file.dataset(&readings, &about, &ragged)?;
    let rows = (0..count).map(|row| (0..row).flat_map(|n| (row as f32 + n as f32 / 4.0).to_le_bytes()).collect());
    file.chunk(&readings, &[0], &prefixed(rows))?;

    file.group(&network, &Vec::new(), &[("stations", hard(&stations)), ("readings", hard(&readings))])?;
    let soft = json!({"class": "H5L_TYPE_SOFT", "h5path": "/network/readings"});
    let external = json!({"class": "H5L_TYPE_EXTERNAL", "h5path": "/temperature", "h5domain": "weather.nc"});
    let links = [("network", hard(&network)), ("station_type", hard(&row)), ("latest", soft), ("grid", external)];
    file.group(&file.root(), &vec![("title", words("Weather stations"))], &links)?;
    file.publish(path)
}
