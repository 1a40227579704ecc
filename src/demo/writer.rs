//! Writes files in the HSDS schema: JSON objects and chunks, by key.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::source::hsds::id::{Id, IdKind};
use crate::source::hsds::key;

/// When everything was made: 1 January 2026. The demo store knows no clock.
const CREATED: f64 = 1_767_225_600.0;

/// A bucket on local disk.
pub struct Bucket {
    directory: PathBuf,
}

impl Bucket {
    /// The bucket in `directory`.
    pub fn new(directory: &Path) -> Bucket {
        Bucket { directory: directory.to_owned() }
    }

    /// Writes an object.
    pub fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.directory.join(key);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, bytes)
    }

    fn put_json(&self, key: &str, value: &Value) -> io::Result<()> {
        self.put(key, value.to_string().as_bytes())
    }

    /// Writes the object of a folder, or of a file with this root group.
    pub fn domain(&self, path: &str, root: Option<&Id>) -> io::Result<()> {
        let all = ["create", "read", "update", "delete", "readACL", "updateACL"];
        let rights = |held: &[&str]| -> Map<String, Value> {
            all.iter().map(|right| (right.to_string(), json!(held.contains(right)))).collect()
        };
        let mut domain = json!({
            "owner": "demo",
            "acls": {"demo": rights(&all), "default": rights(&["read"])},
            "created": CREATED,
            "lastModified": CREATED,
        });
        if let (Some(root), Value::Object(fields)) = (root, &mut domain) {
            fields.insert("root".into(), json!(root.to_string()));
        }
        self.put_json(key::domain(path).as_str(), &domain)
    }
}

/// Attributes of an object, in order.
pub type Attributes = Vec<(&'static str, Value)>;

/// A link of a group: its name, and what the schema says of it.
pub type Link = (&'static str, Value);

/// One file.
pub struct FileWriter<'a> {
    bucket: &'a Bucket,
    /// The half of the identifiers that all objects of the file share.
    half: u64,
    made: u64,
    /// Ticks once for every attribute and link, so that the order in which they are given is that of their creation.
    ticks: std::cell::Cell<u64>,
}

impl<'a> FileWriter<'a> {
    /// A file whose identifiers begin with `half`.
    pub fn new(bucket: &'a Bucket, half: u64) -> Self {
        FileWriter { bucket, half, made: 0, ticks: std::cell::Cell::new(0) }
    }

    /// The root group.
    pub fn root(&self) -> Id {
        // Its second half is the first one with 8 added to each digit, without carries.
        identifier('g', self.half, self.half ^ 0x8888_8888_8888_8888)
    }

    /// A new object's identifier.
    pub fn identify(&mut self, kind: IdKind) -> Id {
        self.made += 1;
        let letter = match kind {
            IdKind::Group => 'g',
            IdKind::Dataset => 'd',
            IdKind::Datatype => 't',
        };
        // Multiplying by an odd number keeps them apart, and makes them look like what HSDS draws by lot.
        identifier(letter, self.half, self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn tick(&self) -> f64 {
        self.ticks.set(self.ticks.get() + 1);
        CREATED + self.ticks.get() as f64 / 1024.0
    }

    fn object(&self, id: &Id, attributes: &Attributes, fields: Value) -> io::Result<()> {
        let attributes: Map<String, Value> = attributes
            .iter()
            .map(|(name, attribute)| (name.to_string(), stamped(attribute.clone(), self.tick())))
            .collect();
        let mut object = json!({
            "id": id.to_string(),
            "root": self.root().to_string(),
            "created": CREATED,
            "lastModified": CREATED,
            "attributes": attributes,
        });
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
            object.extend(fields);
        }
        self.bucket.put_json(key::metadata(id).as_str(), &object)
    }

    /// Writes a group, its links in creation order.
    pub fn group(&self, id: &Id, attributes: &Attributes, links: &[Link]) -> io::Result<()> {
        let links: Map<String, Value> =
            links.iter().map(|(name, link)| (name.to_string(), stamped(link.clone(), self.tick()))).collect();
        self.object(id, attributes, json!({"links": links, "creationProperties": {"CreateOrder": 1}}))
    }

    /// Writes a committed datatype.
    pub fn datatype(&self, id: &Id, datatype: &Value) -> io::Result<()> {
        self.object(id, &Vec::new(), json!({ "type": datatype }))
    }

    /// Writes what describes a dataset.
    pub fn dataset(&self, id: &Id, attributes: &Attributes, dataset: &Dataset) -> io::Result<()> {
        let layout = json!({"class": "H5D_CHUNKED", "dims": dataset.chunk});
        let mut creation = json!({"layout": layout.clone(), "filters": dataset.filters});
        if let (Some(fill), Value::Object(creation)) = (&dataset.fill, &mut creation) {
            creation.insert("fillValue".into(), fill.clone());
        }
        let mut shape = json!({"class": "H5S_SIMPLE", "dims": dataset.dims});
        if let (true, Value::Object(shape)) = (dataset.grows, &mut shape) {
            // 0 is "unlimited" to both dialects; only the first dimension grows.
            let limits = dataset.dims.iter().enumerate().map(|(at, dim)| if at == 0 { 0 } else { *dim });
            shape.insert("maxdims".into(), json!(limits.collect::<Vec<u64>>()));
        }
        // The layout twice: HSDS 0.9 wants it at the top, 1.0 among the creation properties.
        let fields =
            json!({"type": dataset.datatype, "shape": shape, "layout": layout, "creationProperties": creation});
        self.object(id, attributes, fields)
    }

    /// Writes a chunk.
    pub fn chunk(&self, dataset: &Id, coordinates: &[u64], stored: &[u8]) -> io::Result<()> {
        self.bucket.put(key::chunk(dataset, coordinates, 0).as_str(), stored)
    }

    /// Makes the file appear under `path`.
    pub fn publish(&self, path: &str) -> io::Result<()> {
        self.bucket.domain(path, Some(&self.root()))
    }
}

/// What describes a dataset.
pub struct Dataset {
    /// Its type.
    pub datatype: Value,
    /// Its extents.
    pub dims: Vec<u64>,
    /// Whether the first dimension grows.
    pub grows: bool,
    /// Extents of a chunk.
    pub chunk: Vec<u64>,
    /// Filters as the schema lists them.
    pub filters: Vec<Value>,
    /// Fill value.
    pub fill: Option<Value>,
}

impl Dataset {
    /// A dataset of one chunk, without filters.
    pub fn whole(datatype: Value, dims: &[u64]) -> Dataset {
        Dataset { datatype, dims: dims.to_vec(), grows: false, chunk: dims.to_vec(), filters: Vec::new(), fill: None }
    }
}

fn stamped(mut value: Value, created: f64) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.insert("created".into(), json!(created));
    }
    value
}

/// The identifier with these two halves.
fn identifier(letter: char, first: u64, second: u64) -> Id {
    let (a, b) = (first >> 32, first & 0xffff_ffff);
    let (c, d, e) = (second >> 48, second >> 24 & 0xff_ffff, second & 0xff_ffff);
    let text = format!("{letter}-{a:08x}-{b:08x}-{c:04x}-{d:06x}-{e:06x}");
    Id::parse(&text).expect("it is built after the rule for identifiers")
}

/// A number type, by its HDF5 name.
pub fn number(name: &str) -> Value {
    let class = if name.starts_with("H5T_IEEE") { "H5T_FLOAT" } else { "H5T_INTEGER" };
    json!({"class": class, "base": name})
}

/// Strings of `length` bytes, the terminator included.
pub fn string(length: usize) -> Value {
    json!({"class": "H5T_STRING", "charSet": "H5T_CSET_ASCII", "strPad": "H5T_STR_NULLTERM", "length": length})
}

/// Strings of any length.
pub fn text() -> Value {
    json!({
        "class": "H5T_STRING", "charSet": "H5T_CSET_UTF8", "strPad": "H5T_STR_NULLTERM", "length": "H5T_VARIABLE"
    })
}

/// References to objects.
pub fn reference() -> Value {
    json!({
        "class": "H5T_REFERENCE", "base": "H5T_STD_REF_OBJ",
        "length": 48, "charSet": "H5T_CSET_ASCII", "strPad": "H5T_STR_NULLPAD"
    })
}

/// Sequences of any length.
pub fn sequence(base: Value) -> Value {
    json!({"class": "H5T_VLEN", "size": "H5T_VARIABLE", "base": base})
}

/// Named members.
pub fn compound(fields: &[(&str, Value)]) -> Value {
    let fields: Vec<Value> = fields.iter().map(|(name, datatype)| json!({"name": name, "type": datatype})).collect();
    json!({"class": "H5T_COMPOUND", "fields": fields})
}

/// How a reference to a dataset is written.
pub fn refers_to(dataset: &Id) -> Value {
    json!(format!("datasets/{dataset}"))
}

/// An attribute of one element.
pub fn scalar(datatype: Value, value: Value) -> Value {
    json!({"type": datatype, "shape": {"class": "H5S_SCALAR"}, "value": value})
}

/// An attribute of a list of elements.
pub fn list(datatype: Value, values: Vec<Value>) -> Value {
    json!({"type": datatype, "shape": {"class": "H5S_SIMPLE", "dims": [values.len()]}, "value": values})
}

/// An attribute of text.
pub fn words(text: &str) -> Value {
    scalar(string(text.len() + 1), json!(text))
}

/// A link to an object of the file.
pub fn hard(id: &Id) -> Value {
    json!({"class": "H5L_TYPE_HARD", "id": id.to_string()})
}

/// HDF5's gzip filter.
pub fn gzip(level: u8) -> Value {
    json!({"class": "H5Z_FILTER_DEFLATE", "id": 1, "level": level, "name": "gzip"})
}

/// HDF5's shuffle filter.
pub fn shuffle() -> Value {
    json!({"class": "H5Z_FILTER_SHUFFLE", "id": 2, "name": "shuffle"})
}

/// Elements of variable length as a chunk holds them: each after its length in bytes.
pub fn prefixed(elements: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let elements = elements.into_iter();
    elements.flat_map(|bytes| [&(bytes.len() as u32).to_le_bytes()[..], &bytes].concat()).collect()
}
