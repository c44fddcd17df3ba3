//! The Python names that a pickle makes its objects with, found without making any.
//!
//! The reader runs nothing, but it is not as strict as a file of weights can be: it takes a pickled module for its
//! `state_dict()`, and forgets objects that nothing holds. So the names are looked for in the opcodes themselves.

use std::collections::HashMap;

/// What the names of a pickle say of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Globals {
    /// Names of what is neither a tensor nor a plain container, in their order.
    pub foreign: Vec<String>,
    /// The tables that each `torch.nn.Module` has, as strings of the pickle.
    tables: [bool; TABLES.len()],
}

const TABLES: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Most pickles in a row: before PyTorch 1.6 a file had a magic number, a version, facts of the system, the objects
/// and the keys of their storages, each a pickle, and then the storages.
const IN_A_ROW: usize = 5;

/// What stands for a name that is not written where it is used.
const COMPUTED: &str = "object of a computed name";

impl Globals {
    /// Adds the names of the pickles that `bytes` begin with.
    pub fn add(&mut self, mut bytes: &[u8]) {
        for _ in 0..IN_A_ROW {
            let mut scan = Scan {
                rest: bytes,
                globals: self,
                memo: HashMap::new(),
                recent: [None, None],
            };
            // The reader says what is wrong with a pickle that does not end.
            if scan.run().is_none() {
                return;
            }
            bytes = scan.rest;
        }
    }

    /// Whether a module was saved whole.
    pub fn module(&self) -> bool {
        !self.foreign.is_empty() && self.tables == [true; TABLES.len()]
    }

    fn global(&mut self, module: &str, name: &str) {
        if !plain(module, name) {
            self.foreign.push(format!("{module}.{name}"));
        }
    }

    fn string(&mut self, text: &str) {
        if let Some(i) = TABLES.iter().position(|table| *table == text) {
            self.tables[i] = true;
        }
    }
}

/// Whether a name makes tensors or plain containers.
fn plain(module: &str, name: &str) -> bool {
    match module {
        "collections" => name == "OrderedDict",
        "builtins" | "__builtin__" => matches!(name, "set" | "frozenset"),
        "torch._utils" => matches!(
            name,
            "_rebuild_tensor"
                | "_rebuild_tensor_v2"
                | "_rebuild_tensor_v3"
                | "_rebuild_parameter"
                | "_rebuild_parameter_with_state"
        ),
        "torch._tensor" => name == "_rebuild_from_type_v2",
        "torch.nn.parameter" => matches!(name, "Parameter" | "Buffer"),
        "torch.storage" => matches!(name, "TypedStorage" | "UntypedStorage"),
        // Storages and the types of their values.
        "torch" => name == "Tensor" || name.ends_with("Storage") || DTYPES.contains(&name),
        _ => false,
    }
}

/// The types that values of a tensor may have.
const DTYPES: [&str; 13] = [
    "float16", "bfloat16", "float32", "float64", "uint8", "uint16", "uint32", "uint64", "int8",
    "int16", "int32", "int64", "bool",
];

/// One pass over the opcodes of a pickle, <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.
struct Scan<'a, 'g> {
    rest: &'a [u8],
    globals: &'g mut Globals,
    /// Every entry, and the text of those that are strings.
    memo: HashMap<u32, Option<String>>,
    /// The two values that were pushed last, if they are strings.
    recent: [Option<String>; 2],
}

impl<'a> Scan<'a, '_> {
    /// Reads up to the end of the pickle; `None` if there is none.
    fn run(&mut self) -> Option<()> {
        loop {
            let [opcode] = self.fixed()?;
            match opcode {
                b'.' => return Some(()),
                // Names that are written where they are used.
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.globals.global(&module, &name);
                    self.push(None);
                }
                // Names on the stack.
                0x93 => {
                    match self.recent.each_ref() {
                        [Some(module), Some(name)] => self.globals.global(module, name),
                        _ => self.globals.foreign.push(COMPUTED.to_owned()),
                    }
                    self.push(None);
                }
                b'V' | b'S' => {
                    let text = self.line()?;
                    self.push(Some(text));
                }
                b'U' | 0x8c => self.text(1)?,
                b'T' | b'X' => self.text(4)?,
                0x8d => self.text(8)?,
                b'p' => {
                    let entry = self.line()?.parse().ok()?;
                    self.put(entry);
                }
                b'q' => {
                    let [entry] = self.fixed()?;
                    self.put(entry.into());
                }
                b'r' => {
                    let entry = u32::from_le_bytes(self.fixed()?);
                    self.put(entry);
                }
                0x94 => {
                    let entry = u32::try_from(self.memo.len()).ok()?;
                    self.put(entry);
                }
                b'g' => {
                    let entry = self.line()?.parse().ok()?;
                    self.get(entry);
                }
                b'h' => {
                    let [entry] = self.fixed()?;
                    self.get(entry.into());
                }
                b'j' => {
                    let entry = u32::from_le_bytes(self.fixed()?);
                    self.get(entry);
                }
                // Protocol and frame push nothing.
                0x80 => drop(self.fixed::<1>()?),
                0x95 => drop(self.fixed::<8>()?),
                _ => {
                    self.skip(opcode)?;
                    self.push(None);
                }
            }
        }
    }

    /// What follows an opcode that concerns no name.
    fn skip(&mut self, opcode: u8) -> Option<()> {
        match opcode {
            b'F' | b'I' | b'L' | b'P' => drop(self.line()?),
            b'K' => drop(self.fixed::<1>()?),
            b'M' => drop(self.fixed::<2>()?),
            b'J' => drop(self.fixed::<4>()?),
            b'G' => drop(self.fixed::<8>()?),
            b'C' | 0x8a => drop(self.counted(1)?),
            b'B' | 0x8b => drop(self.counted(4)?),
            0x8e | 0x96 => drop(self.counted(8)?),
            b'('
            | b'0'
            | b'1'
            | b'2'
            | b'Q'
            | b'R'
            | b'b'
            | b'N'
            | b'a'
            | b'd'
            | b'}'
            | b'e'
            | b'l'
            | b']'
            | b's'
            | b't'
            | b')'
            | b'u'
            | 0x81
            | 0x85..=0x89
            | 0x8f..=0x92 => {}
            _ => return None,
        }
        Some(())
    }

    fn push(&mut self, string: Option<String>) {
        if let Some(text) = &string {
            self.globals.string(text);
        }
        let [_, last] = &mut self.recent;
        self.recent = [last.take(), string];
    }

    fn put(&mut self, entry: u32) {
        self.memo.insert(entry, self.recent[1].clone());
    }

    fn get(&mut self, entry: u32) {
        let string = self.memo.get(&entry).cloned().flatten();
        self.push(string);
    }

    fn text(&mut self, width: usize) -> Option<()> {
        let text = String::from_utf8_lossy(self.counted(width)?).into_owned();
        self.push(Some(text));
        Some(())
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    /// Bytes after a length of so many bytes.
    fn counted(&mut self, width: usize) -> Option<&'a [u8]> {
        let (count, rest) = self.rest.split_at_checked(width)?;
        let mut length = [0; 8];
        length[..width].copy_from_slice(count);
        let length = usize::try_from(u64::from_le_bytes(length)).ok()?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn line(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest = &self.rest[end + 1..];
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Globals {
        let mut globals = Globals::default();
        globals.add(bytes);
        globals
    }

    /// An instance of `__main__.M` with the tables of a module, by `pickle.dumps` in the protocols 2 and 4.
    const MODULES: [&[u8]; 2] = [
        b"\x80\x02c__main__\nM\nq\x00)\x81q\x01}q\x02(X\x0b\x00\x00\x00_parametersq\x03}q\x04X\x08\x00\x00\x00_buffersq\x05}q\x06X\x08\x00\x00\x00_modulesq\x07}q\x08ub.",
        b"\x80\x04\x95\x4b\x00\x00\x00\x00\x00\x00\x00\x8c\x08__main__\x94\x8c\x01M\x94\x93\x94)\x81\x94}\x94(\x8c\x0b_parameters\x94}\x94\x8c\x08_buffers\x94}\x94\x8c\x08_modules\x94}\x94ub.",
    ];

    #[test]
    fn a_module_is_told_in_every_protocol_and_behind_the_pickles_of_an_old_file() {
        let old = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.";
        for module in MODULES {
            for bytes in [module.to_vec(), [&old[..], module].concat()] {
                let globals = of(&bytes);
                assert!(globals.module(), "{globals:?}");
                assert_eq!(globals.foreign, ["__main__.M"]);
            }
        }
        // A dictionary with such keys is no module.
        let dict = b"\x80\x02}(X\x0b\x00\x00\x00_parametersNX\x08\x00\x00\x00_buffersNX\x08\x00\x00\x00_modulesNu.";
        assert!(!of(dict).module());
    }

    #[test]
    fn what_is_made_and_thrown_away_is_found() {
        // An object that is called and popped before an empty dictionary.
        let globals = of(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R0}.");
        assert_eq!(globals.foreign, ["os.system"]);
    }

    #[test]
    fn names_on_the_stack_are_read_through_the_memo_and_others_are_refused() {
        // collections and OrderedDict from the memo.
        let memo =
            b"\x80\x04\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93)R0h\x00h\x01\x93)R.";
        assert_eq!(of(memo), Globals::default());
        // os.system, as numbers of the memo that were never put.
        let computed = b"\x80\x04h\x00h\x01\x93)R.";
        assert_eq!(of(computed).foreign, [COMPUTED]);
    }

    #[test]
    fn names_of_tensors_are_plain() {
        for (module, name) in [
            ("torch", "FloatStorage"),
            ("torch", "bfloat16"),
            ("torch", "uint8"),
            ("torch", "bool"),
            ("torch._utils", "_rebuild_tensor_v2"),
            ("__builtin__", "set"),
        ] {
            assert!(plain(module, name), "{module}.{name}");
        }
        for (module, name) in [
            ("torch", "load"),
            ("torch", "float"),
            ("torch", "int8x"),
            ("torch", "device"),
            ("builtins", "eval"),
            ("torch._utils", "_import_dotted_name"),
            ("collections", "defaultdict"),
        ] {
            assert!(!plain(module, name), "{module}.{name}");
        }
    }

    #[test]
    fn a_pickle_that_does_not_end_ends_the_scan() {
        let whole = MODULES[0];
        for length in 0..whole.len() {
            of(&whole[..length]);
        }
        // Lengths beyond the end, and an opcode that does not exist.
        for bytes in [
            &b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff."[..],
            b"\x80\x02X\xff\xff\xff\xffab.",
            b"\xff.",
        ] {
            assert_eq!(of(bytes), Globals::default());
        }
    }
}
