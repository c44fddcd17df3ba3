//! A graph that grows node by node.

use super::ExportError;
use super::proto::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionProto, GraphProto, NodeProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// A graph without inputs and outputs yet. Values have the names of the nodes that give them.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Graph {
    /// Adds a node. Gives the name of its one output, which is its own.
    pub fn node(
        &mut self,
        operator: &str,
        name: String,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.to_owned(),
            attribute: attributes,
        });
        name
    }

    /// Adds a constant. Gives its name.
    ///
    /// # Errors
    /// [`ExportError::NotFinite`].
    pub fn constant(
        &mut self,
        name: String,
        shape: &[usize],
        values: &[f32],
    ) -> Result<String, ExportError> {
        if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
            return Err(ExportError::NotFinite {
                tensor: name,
                value,
            });
        }
        self.constants.push(TensorProto {
            dims: shape.iter().map(|&len| len as i64).collect(),
            data_type: DataType::Float.into(),
            name: name.clone(),
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        });
        Ok(name)
    }

    /// The graph from a value `input` to the last node's, which gets the name `output`. Shapes are those of one
    /// image.
    pub fn finish(
        mut self,
        name: &str,
        input: (&str, &[usize]),
        output: (&str, &[usize]),
    ) -> GraphProto {
        if let Some(last) = self.nodes.last_mut() {
            last.output = vec![output.0.to_owned()];
        }
        GraphProto {
            node: self.nodes,
            name: name.to_owned(),
            initializer: self.constants,
            input: vec![value(input)],
            output: vec![value(output)],
        }
    }
}

/// Floats for any number, `N`, of images.
fn value((name, shape): (&str, &[usize])) -> ValueInfoProto {
    let images = Dimension::Param("N".to_owned());
    let dim = std::iter::once(images)
        .chain(shape.iter().map(|&len| Dimension::Value(len as i64)))
        .map(|value| DimensionProto { value: Some(value) })
        .collect();
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: DataType::Float.into(),
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
    }
}

/// A setting that is a number.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        f: value,
        r#type: AttributeType::Float.into(),
        ..AttributeProto::default()
    }
}

/// A setting that is an integer.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i: value,
        r#type: AttributeType::Int.into(),
        ..AttributeProto::default()
    }
}

/// A setting that is integers.
pub(super) fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.iter().map(|&value| value as i64).collect(),
        r#type: AttributeType::Ints.into(),
        ..AttributeProto::default()
    }
}
