//! The part of ONNX's file format that Creamery writes.
//!
//! These are the messages of `onnx.proto3` (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>) with their names and field
//! numbers, less the fields that no file of Creamery's has. Reading skips what is not here, as protocol buffers do.

use prost::{Enumeration, Message, Oneof};

/// A file: a graph, what it needs of its reader, and what is told about it.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// Version of the format itself.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The program that wrote the file.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// For people.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// The network.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// The sets of operators that the nodes are of.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// For programs, by key.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// A version of a set of operators.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetIdProto {
    /// The set; empty is ONNX's own.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Its version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A key and its value.
#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntryProto {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Nodes, every one after those whose outputs it takes.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// The nodes.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// A name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Constants: weights and biases.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// What the graph takes.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// What it gives.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// An operator at work.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// Names of the values it takes, in the operator's order.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the values it gives.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// A name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator, such as `Conv`.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Its settings.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
}

/// A setting of an operator.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// The setting.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value of one that is a number.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// The value of one that is an integer.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// The value of one that is integers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Which of them holds.
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub r#type: i32,
}

/// The types of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// No value.
    Undefined = 0,
    /// `f`.
    Float = 1,
    /// `i`.
    Int = 2,
    /// `ints`.
    Ints = 7,
}

/// A constant.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Its shape.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// [`DataType`].
    #[prost(enumeration = "DataType", tag = "2")]
    pub data_type: i32,
    /// Its name as a value.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The values in row-major order, little-endian.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// The types of values, `TensorProto.DataType` in ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// None.
    Undefined = 0,
    /// IEEE 754 single precision.
    Float = 1,
}

/// Name and type of an input or an output.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    /// Its name as a value.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// A type of values.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    /// That of tensors, the one kind that Creamery has.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

/// A type of tensors, `TypeProto.Tensor` in ONNX.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    /// [`DataType`].
    #[prost(enumeration = "DataType", tag = "1")]
    pub elem_type: i32,
    /// The shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// Its dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// One dimension of a shape, `TensorShapeProto.Dimension` in ONNX.
#[derive(Clone, PartialEq, Message)]
pub struct DimensionProto {
    /// How long it is.
    #[prost(oneof = "Dimension", tags = "1, 2")]
    pub value: Option<Dimension>,
}

/// The length of a dimension.
#[derive(Clone, PartialEq, Oneof)]
pub enum Dimension {
    /// So many.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// As many as there are, wherever this name stands.
    #[prost(string, tag = "2")]
    Param(String),
}
