//! The schema of an Avro object: checked, bounded, and spelt in the one way that the arrow-avro crate is given.
//!
//! The crate expands a schema into a tree of decoders, each with buffers, and a few hundred bytes of named types that
//! hold each other twice expand without end. So the tree is counted here, before there is one. What the crate would
//! change or refuse is spelt otherwise: names are numbered, because it finds some by their namespace only; a uuid in a
//! string stays the string that it is; attributes that say nothing of the encoding go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use serde_json::{Map, Value, json};

use super::bad;
use crate::codec::DecodeError;
use crate::model::schema::{Column, DEPTH_MAX, JSON, TableSchema, Unknown};

/// Bytes that a decoder of one node reserves before the first row: the crate makes room for 1,024 values of 8 bytes,
/// and twice that where they have offsets.
const NODE_BYTES: u64 = 16 << 10;

/// Digits of the widest decimal that Arrow has.
const DECIMAL_DIGITS_MAX: u64 = 76;

/// Branches of a union: Arrow numbers them by a signed byte.
const BRANCHES_MAX: usize = 127;

/// What an object's schema says.
#[derive(Clone, Debug)]
pub(super) struct AvroSchema {
    /// It, as the crate is given it.
    pub json: String,
    /// Its columns and the types they are carried in.
    pub columns: Vec<(String, DataType)>,
    /// Bytes of arrays that any row takes, also one of nulls.
    pub row_bytes: u64,
    /// Bytes of arrays that one byte of items can become, at the most: an item of a nullable record is one byte when it
    /// is null, and a place in each of the record's arrays.
    pub growth: u64,
    /// Whether a record can take no byte at all.
    pub is_weightless: bool,
}

impl AvroSchema {
    /// Reads a header's schema, of which `memory_bytes` may be reserved.
    ///
    /// # Errors
    /// [`DecodeError::Bad`] where it is no schema of records, holds itself, or has what no table can hold;
    /// [`DecodeError::TooLarge`] where it expands to too many nodes.
    pub fn parse(text: &[u8], memory_bytes: u64) -> Result<Self, DecodeError> {
        let schema: Value =
            serde_json::from_slice(text).map_err(|error| bad(format!("its schema cannot be read as JSON: {error}")))?;
        let mut walk = Walk { memory_bytes, named: HashMap::new(), count: 0, path: Vec::new() };
        let top = walk.visit(&schema, "")?;
        let DataType::Struct(fields) = &top.carried else {
            return Err(bad("its schema is no record, and rows are records"));
        };
        Ok(Self {
            json: top.json.to_string(),
            columns: fields.iter().map(|field| (field.name().clone(), field.data_type().clone())).collect(),
            row_bytes: top.slot_bytes,
            growth: top.growth.max(1),
            is_weightless: top.bytes_min == 0,
        })
    }

    /// The schema that the object would have alone.
    pub fn table(&self) -> TableSchema {
        let columns = self.columns.iter().map(|(name, carried)| Column::inferred(name, carried.clone())).collect();
        TableSchema { columns, rescued: false, unknown: Unknown::Widen }
    }
}

/// A node of the schema, with all below it.
#[derive(Clone, Debug)]
struct Node {
    json: Value,
    carried: DataType,
    depth: usize,
    /// Nodes once names are expanded.
    nodes: u64,
    /// Bytes of the shortest value.
    bytes_min: u64,
    /// Bytes of arrays that any value takes.
    slot_bytes: u64,
    /// As [`AvroSchema::growth`], of the lists and maps below.
    growth: u64,
    /// Whether a duration is in it.
    has_duration: bool,
}

impl Node {
    fn leaf(json: Value, carried: DataType, bytes_min: u64, slot_bytes: u64) -> Self {
        Self { json, carried, depth: 0, nodes: 1, bytes_min, slot_bytes, growth: 0, has_duration: false }
    }

    fn logical(base: &str, logical: &str, carried: DataType) -> Self {
        Self::leaf(json!({ "type": base, "logicalType": logical }), carried, 1, 8)
    }

    /// A list or map of this, whose items have `overhead` bytes more in the file.
    fn repeated(self, json: Value, carried: DataType, overhead: u64) -> Self {
        // An offset of the list, and one of a map's keys.
        let item_bytes = self.slot_bytes.saturating_add(8);
        Self {
            json,
            carried,
            depth: self.depth + 1 + overhead as usize,
            nodes: self.nodes.saturating_add(1),
            bytes_min: 1,
            slot_bytes: 4,
            growth: self.growth.max(item_bytes.div_ceil((self.bytes_min + overhead).max(1))),
            has_duration: self.has_duration,
        }
    }
}

struct Walk {
    memory_bytes: u64,
    /// Named types; `None` while one is being read.
    named: HashMap<String, Option<Node>>,
    count: usize,
    /// The fields on the way here.
    path: Vec<String>,
}

impl Walk {
    fn visit(&mut self, schema: &Value, namespace: &str) -> Result<Node, DecodeError> {
        let node = match schema {
            Value::String(name) => self.plain(name, &Map::new(), namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(of) => match of.get("type") {
                Some(Value::String(kind)) => self.complex(kind, of, namespace),
                Some(inner @ (Value::Object(_) | Value::Array(_))) => self.visit(inner, namespace),
                _ => Err(self.bad("has no type in the schema")),
            },
            _ => Err(self.bad("has no type in the schema")),
        }?;
        let needed = node.nodes.saturating_mul(NODE_BYTES);
        if needed > self.memory_bytes {
            let what = "the schema".to_owned();
            return Err(DecodeError::TooLarge { what, needed, allowed: self.memory_bytes, position: None });
        }
        if node.depth > DEPTH_MAX {
            let what = format!("is nested more than {DEPTH_MAX} levels deep: flatten it where it is written");
            return Err(self.bad(what));
        }
        Ok(node)
    }

    fn complex(&mut self, kind: &str, of: &Map<String, Value>, namespace: &str) -> Result<Node, DecodeError> {
        match kind {
            "record" | "error" => self.record(of, namespace),
            "enum" => {
                let number = self.open(of, namespace)?.1;
                let symbols: Option<Vec<&str>> =
                    of.get("symbols").and_then(Value::as_array).and_then(|all| all.iter().map(Value::as_str).collect());
                let Some(symbols) = symbols else { return Err(self.bad("is an enum without symbols")) };
                let longest = symbols.iter().map(|symbol| symbol.len()).max().unwrap_or(0);
                let json = json!({ "type": "enum", "name": number, "symbols": symbols });
                Ok(self.close(of, namespace, Node::leaf(json, DataType::Utf8, 1, 8 + longest as u64)))
            }
            "fixed" => self.fixed(of, namespace),
            "array" => {
                let item = self.visit(of.get("items").unwrap_or(&Value::Null), namespace)?;
                if item.bytes_min == 0 {
                    return Err(self.bad("is an array of items without a byte, whose number nothing bounds"));
                }
                let carried = DataType::List(Arc::new(Field::new_list_field(item.carried.clone(), true)));
                let json = json!({ "type": "array", "items": item.json });
                Ok(item.repeated(json, carried, 0))
            }
            "map" => {
                let value = self.visit(of.get("values").unwrap_or(&Value::Null), namespace)?;
                let entries = Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", value.carried.clone(), true),
                ]);
                let carried = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false);
                let json = json!({ "type": "map", "values": value.json });
                Ok(value.repeated(json, carried, 1))
            }
            name => self.plain(name, of, namespace),
        }
    }

    /// A primitive type with its attributes, or the name of a type.
    fn plain(&mut self, name: &str, of: &Map<String, Value>, namespace: &str) -> Result<Node, DecodeError> {
        use DataType::{
            Binary, Boolean, Date32, Float32, Float64, Int32, Int64, Null, Time32, Time64, Timestamp, Utf8,
        };
        use TimeUnit::{Microsecond, Millisecond, Nanosecond};
        let logical = of.get("logicalType").and_then(Value::as_str).unwrap_or_default();
        let utc = || Some(Arc::from("UTC"));
        let node = match (name, logical) {
            ("null", _) => Node::leaf(json!("null"), Null, 0, 1),
            ("boolean", _) => Node::leaf(json!(name), Boolean, 1, 1),
            ("int", "date") => Node::logical(name, logical, Date32),
            ("int", "time-millis") => Node::logical(name, logical, Time32(Millisecond)),
            ("int", _) => Node::leaf(json!(name), Int32, 1, 4),
            ("long", "time-micros") => Node::logical(name, logical, Time64(Microsecond)),
            ("long", "timestamp-millis") => Node::logical(name, logical, Timestamp(Millisecond, utc())),
            ("long", "timestamp-micros") => Node::logical(name, logical, Timestamp(Microsecond, utc())),
            ("long", "timestamp-nanos") => Node::logical(name, logical, Timestamp(Nanosecond, utc())),
            ("long", "local-timestamp-millis") => Node::logical(name, logical, Timestamp(Millisecond, None)),
            ("long", "local-timestamp-micros") => Node::logical(name, logical, Timestamp(Microsecond, None)),
            ("long", "local-timestamp-nanos") => Node::logical(name, logical, Timestamp(Nanosecond, None)),
            ("long", _) => Node::leaf(json!(name), Int64, 1, 8),
            ("float", _) => Node::leaf(json!(name), Float32, 4, 4),
            ("double", _) => Node::leaf(json!(name), Float64, 8, 8),
            ("bytes", "decimal") => match self.decimal(of, None)? {
                Some((precision, scale, carried)) => {
                    let json = json!({ "type": name, "logicalType": logical, "precision": precision, "scale": scale });
                    Node::leaf(json, carried, 1, 32)
                }
                None => Node::leaf(json!(name), Binary, 1, 8),
            },
            ("bytes", _) => Node::leaf(json!(name), Binary, 1, 8),
            ("string", _) => Node::leaf(json!(name), Utf8, 1, 8),
            (name, _) => {
                let full = full_name(name, namespace);
                match self.named.get(&full).or_else(|| self.named.get(name)) {
                    Some(Some(node)) => node.clone(),
                    Some(None) => {
                        let what =
                            format!("holds {name} in itself, and a column has an end: flatten it where it is written");
                        return Err(self.bad(what));
                    }
                    None => return Err(self.bad(format!("is of the type {name}, which the schema does not define"))),
                }
            }
        };
        Ok(node)
    }

    fn record(&mut self, of: &Map<String, Value>, namespace: &str) -> Result<Node, DecodeError> {
        let (full, number) = self.open(of, namespace)?;
        let inside = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let Some(fields) = of.get("fields").and_then(Value::as_array) else {
            return Err(self.bad("is a record without fields"));
        };
        let (mut names, mut spelt, mut carried) = (HashSet::new(), Vec::new(), Vec::new());
        let mut node = Node::leaf(Value::Null, DataType::Null, 0, 1);
        for field in fields {
            let Some(name) = field.get("name").and_then(Value::as_str) else {
                return Err(self.bad("has a field without a name"));
            };
            if !names.insert(name) {
                return Err(self.bad(format!("has two fields named {name}")));
            }
            self.path.push(name.to_owned());
            let below = self.visit(field.get("type").unwrap_or(&Value::Null), &inside)?;
            self.path.pop();
            node.depth = node.depth.max(below.depth);
            node.nodes = node.nodes.saturating_add(below.nodes);
            node.bytes_min = node.bytes_min.saturating_add(below.bytes_min);
            node.slot_bytes = node.slot_bytes.saturating_add(below.slot_bytes);
            node.growth = node.growth.max(below.growth);
            node.has_duration |= below.has_duration;
            spelt.push(json!({ "name": name, "type": below.json }));
            carried.push(Field::new(name, below.carried, true));
        }
        node.depth += 1;
        node.json = json!({ "type": "record", "name": number, "fields": spelt });
        node.carried = DataType::Struct(carried.into());
        Ok(self.close(of, namespace, node))
    }

    fn fixed(&mut self, of: &Map<String, Value>, namespace: &str) -> Result<Node, DecodeError> {
        let number = self.open(of, namespace)?.1;
        let size = of.get("size").and_then(Value::as_u64).filter(|size| (1..=self.memory_bytes).contains(size));
        let Some(size) = size else { return Err(self.bad("is fixed in a size that cannot be read")) };
        let logical = of.get("logicalType").and_then(Value::as_str).unwrap_or_default();
        let plain = || json!({ "type": "fixed", "name": number, "size": size });
        let node = match logical {
            "decimal" => match self.decimal(of, Some(size))? {
                Some((precision, scale, carried)) => {
                    let json = json!({
                        "type": "fixed", "name": number, "size": size,
                        "logicalType": logical, "precision": precision, "scale": scale,
                    });
                    Node::leaf(json, carried, size, 32)
                }
                None => Node::leaf(plain(), DataType::Binary, size, size + 8),
            },
            "duration" if size == 12 => {
                let json = json!({ "type": "fixed", "name": number, "size": size, "logicalType": logical });
                let interval = DataType::Interval(IntervalUnit::MonthDayNano);
                Node { has_duration: true, ..Node::leaf(json, interval, size, 16) }
            }
            _ => Node::leaf(plain(), DataType::Binary, size, size.saturating_add(8)),
        };
        Ok(self.close(of, namespace, node))
    }

    /// A decimal's digits; `None` where it says none that make sense, which leaves its bytes (Avro, "Logical Types").
    fn decimal(&self, of: &Map<String, Value>, size: Option<u64>) -> Result<Option<(u64, u64, DataType)>, DecodeError> {
        let scale = of.get("scale").map_or(Some(0), Value::as_u64);
        let (Some(precision), Some(scale)) = (of.get("precision").and_then(Value::as_u64), scale) else {
            return Ok(None);
        };
        if precision == 0 || scale > precision {
            return Ok(None);
        }
        if precision > DECIMAL_DIGITS_MAX {
            return Err(self.bad(format!("is a decimal of {precision} digits, and {DECIMAL_DIGITS_MAX} can be held")));
        }
        // 2^(8 size - 1) - 1 is the largest number: log10(2) of a digit for each bit.
        let fit = size.map_or(DECIMAL_DIGITS_MAX, |size| ((8.0 * size as f64 - 1.0) * 2f64.log10()) as u64);
        if precision > fit {
            let size = size.unwrap_or_default();
            return Err(self.bad(format!("is a decimal of {precision} digits in {size} bytes, which hold {fit}")));
        }
        let (digits, places) = (precision as u8, scale as i8);
        let carried =
            if digits <= 38 { DataType::Decimal128(digits, places) } else { DataType::Decimal256(digits, places) };
        Ok(Some((precision, scale, carried)))
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<Node, DecodeError> {
        if branches.is_empty() || branches.len() > BRANCHES_MAX {
            return Err(
                self.bad(format!("is a union of {} types, and 1 to {BRANCHES_MAX} can be read", branches.len()))
            );
        }
        if branches.iter().any(Value::is_array) {
            return Err(self.bad("is a union in a union"));
        }
        let nodes: Vec<Node> = branches.iter().map(|branch| self.visit(branch, namespace)).collect::<Result<_, _>>()?;
        let valued = nodes.iter().filter(|node| node.carried != DataType::Null);
        let carried = valued.map(|node| Some(node.carried.clone())).reduce(|a, b| together(a?, b?));
        let has_duration = nodes.iter().any(|node| node.has_duration);
        let carried = match carried {
            None => DataType::Null,
            Some(Some(carried)) => carried,
            Some(None) if has_duration => {
                return Err(self.bad("is a union of a duration and other types, which nothing else can hold"));
            }
            Some(None) => JSON,
        };
        let most = |of: fn(&Node) -> u64| nodes.iter().map(of).max().unwrap_or(0);
        // The text of a number, beside its branch and its place in it.
        let json_bytes = if carried == JSON { 32 } else { 0 };
        Ok(Node {
            json: nodes.iter().map(|node| node.json.clone()).collect(),
            depth: nodes.iter().map(|node| node.depth).max().unwrap_or(0),
            nodes: nodes.iter().map(|node| node.nodes).fold(1, u64::saturating_add),
            bytes_min: 1,
            slot_bytes: most(|node| node.slot_bytes).saturating_add(8 + json_bytes),
            growth: most(|node| node.growth),
            has_duration,
            carried,
        })
    }

    /// Begins a named type: its full name, and the name it is spelt by.
    fn open(&mut self, of: &Map<String, Value>, namespace: &str) -> Result<(String, String), DecodeError> {
        let Some(full) = name_of(of, namespace) else { return Err(self.bad("is of a type without a name")) };
        // Some writers define a type again where it stands again.
        self.named.insert(full.clone(), None);
        self.count += 1;
        Ok((full, format!("n{}", self.count)))
    }

    /// Ends a named type. Where it is named again its name stands for it.
    fn close(&mut self, of: &Map<String, Value>, namespace: &str, node: Node) -> Node {
        if let Some(full) = name_of(of, namespace) {
            let again = Node { json: node.json.get("name").cloned().unwrap_or_default(), ..node.clone() };
            self.named.insert(full, Some(again));
        }
        node
    }

    fn bad(&self, what: impl AsRef<str>) -> DecodeError {
        match self.path.as_slice() {
            [] => bad(format!("its schema {}", what.as_ref())),
            path => bad(format!("column {} {}", path.join("."), what.as_ref())),
        }
    }
}

/// The type that holds each value of two branches as it is.
fn together(a: DataType, b: DataType) -> Option<DataType> {
    match (a, b) {
        (a, b) if a == b => Some(a),
        (DataType::Int32, DataType::Int64) | (DataType::Int64, DataType::Int32) => Some(DataType::Int64),
        (DataType::Float32, DataType::Float64) | (DataType::Float64, DataType::Float32) => Some(DataType::Float64),
        _ => None,
    }
}

/// The full name that a named type gives itself.
fn name_of(of: &Map<String, Value>, namespace: &str) -> Option<String> {
    let name = of.get("name").and_then(Value::as_str)?;
    Some(full_name(name, of.get("namespace").and_then(Value::as_str).unwrap_or(namespace)))
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}
