//! A folder to work in, small data, and commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Side of the images of [`Place::digits`].
const SIDE: usize = 28;

/// A run of 48 training images and two epochs of six steps.
pub const TINY: &str =
    "--data mnist:digits --batch 8 --set train.epochs=2 --set data.validation=0.2";

/// What makes a search as small as that.
pub const TINY_SEARCH: &str = "--max-macs 3M --set cream.warmup_epochs=0 --set cream.board=3 \
    --set cream.anchors=4 --set cream.tau=3 --set cream.confirm_images=8 --set cream.calibration_images=8";

/// A folder that commands are run in, with the smallest network of `tiny-32` in `tiny.json`.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// An empty one.
    pub fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let tiny = r#"{"space": "tiny-32", "resolution": 28, "choices": [[0], [0], [0]]}"#;
        place.write("tiny.json", tiny);
        place
    }

    /// One with `mnist:digits` in it: 60 training images and 20 test images.
    pub fn with_digits() -> Self {
        let place = Self::new();
        place.digits("digits", 0);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// Writes the four files of an MNIST whose images show their class as a bright row.
    pub fn digits(&self, folder: &str, shift: usize) {
        for (name, count) in [("train", 60), ("t10k", 20)] {
            let labels: Vec<u8> = (0..count).map(|i| ((i + shift) % 10) as u8).collect();
            self.write(
                &format!("{folder}/{name}-images-idx3-ubyte"),
                idx_images(&labels),
            );
            self.write(
                &format!("{folder}/{name}-labels-idx1-ubyte"),
                idx_labels(&labels),
            );
        }
    }

    /// Writes a folder data set of PNG files: `images` a class in train/ and in val/.
    pub fn pictures(&self, folder: &str, classes: &[&str], images: usize) {
        for split in ["train", "val"] {
            for (label, class) in classes.iter().enumerate() {
                for i in 0..images {
                    let png = png_image([(60 * label + 9 * i) as u8, 90, (20 * i) as u8]);
                    self.write(&format!("{folder}/{split}/{class}/{i}.png"), png);
                }
            }
        }
    }

    /// A command line, its words parted by white space, ready to start here.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_creamery"));
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("RUST_BACKTRACE", "full");
        command
    }

    pub fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs a command that must succeed; its standard output.
    pub fn done(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "creamery {line}\n{errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must succeed, with `--json`; its answer.
    pub fn answer(&self, line: &str) -> Value {
        serde_json::from_str(&self.done(&format!("--json -q {line}"))).unwrap()
    }

    /// Runs a command that must fail with `code`, and whose message must say all of `says`: on standard
    /// error, in at most two lines, with nothing on standard output.
    pub fn refused(&self, code: i32, line: &str, says: &[&str]) -> String {
        self.refused_with(&[], code, line, says)
    }

    /// The same in an environment with `variables`.
    pub fn refused_with(
        &self,
        variables: &[(&str, &str)],
        code: i32,
        line: &str,
        says: &[&str],
    ) -> String {
        let mut command = self.command(line);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "creamery {line}\n{errors}"
        );
        assert!(output.stdout.is_empty(), "creamery {line}");
        assert!(
            !errors.contains("panicked") && !errors.contains("stack backtrace"),
            "creamery {line}\n{errors}"
        );
        let start = errors
            .find("error: ")
            .unwrap_or_else(|| panic!("creamery {line}\n{errors}"));
        let message = &errors[start..];
        for part in says {
            assert!(
                message.contains(part),
                "creamery {line}\nlacks `{part}`: {message}"
            );
        }
        assert!(message.lines().count() <= 2, "creamery {line}\n{message}");
        message.to_owned()
    }

    /// Runs a command whose flags are wrong, which the parser of flags must say; its message has lines of its own form.
    pub fn misused(&self, line: &str, says: &str) {
        let output = self.run(line);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "creamery {line}\n{errors}");
        assert!(errors.contains(says), "creamery {line}\n{errors}");
    }

    /// Starts a command, and kills it as soon as it has come so far.
    pub fn kill_when(&self, line: &str, so_far: impl Fn() -> bool) {
        let mut child = self
            .command(line)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !so_far() {
            let ended = child.try_wait().unwrap();
            assert_eq!(ended, None, "it ended before it could be killed: {line}");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs a shell's command line as it stands, `creamery` being the program under test.
    pub fn shell(&self, line: &str) -> Output {
        let bin = Path::new(env!("CARGO_BIN_EXE_creamery")).parent().unwrap();
        let path = format!(
            "{}:{}",
            bin.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        Command::new("sh")
            .args(["-c", line])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .output()
            .unwrap()
    }
}

pub fn idx_images(labels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for size in [labels.len(), SIDE, SIDE] {
        bytes.extend((size as u32).to_be_bytes());
    }
    for (i, &label) in labels.iter().enumerate() {
        for y in 0..SIDE {
            for x in 0..SIDE {
                let bright = y / 2 == usize::from(label) + 2;
                bytes.push(if bright {
                    200
                } else {
                    ((i * 31 + x * 7 + y) % 40) as u8
                });
            }
        }
    }
    bytes
}

pub fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((labels.len() as u32).to_be_bytes());
    bytes.extend(labels);
    bytes
}

pub fn png_image(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 16, 16);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = (0..256u32)
        .flat_map(|i| colour.map(|c| c.wrapping_add((i * 37 % 97) as u8)))
        .collect();
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&pixels)
        .unwrap();
    bytes
}
