//! Files that are refused, and what is said of them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use creamery_export::import::{ImportError, Request, import};
use creamery_nn::NamedTensor;
use creamery_space::{Space, preset};
use creamery_train::checkpoint::write_weights;

use crate::support::{fixture, grey, json, state};

fn refused(path: &Path) -> ImportError {
    import(path, &grey()).unwrap_err()
}

#[test]
fn a_file_with_code_is_refused_by_the_name_of_the_code_and_nothing_is_run() {
    for (file, global, place) in [
        ("namespace.pth.tar", "argparse.Namespace", Some("args")),
        ("code.pth", "posix.system", Some("conv_stem.weight")),
        ("code-legacy.pth", "posix.system", Some("conv_stem.weight")),
        ("scalar.pth", "numpy._core.multiarray.scalar", Some("best")),
    ] {
        let error = refused(&fixture(file));
        let message = error.to_string();
        let ImportError::Global {
            global: found,
            place: at,
            ..
        } = error
        else {
            panic!("{file}: {message}")
        };
        assert_eq!((found.as_str(), at.as_deref()), (global, place));
        assert!(
            message.contains("nothing of it was run") && message.contains("torch.save(torch.load("),
            "{message}"
        );
    }
    assert!(!Path::new("was-run").exists());
}

#[test]
fn a_module_that_was_saved_whole_is_refused_by_the_name_of_its_class() {
    let error = refused(&fixture("module.pth"));
    let message = error.to_string();
    assert!(
        matches!(&error, ImportError::Module { class, .. } if class == "torch.nn.modules.container.Sequential"),
        "{message}"
    );
    assert!(
        message.contains(".state_dict(), \"weights.pth\")"),
        "{message}"
    );
}

#[test]
fn an_object_that_nothing_holds_is_refused_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pth");
    // os.system is called, and what it gives is thrown away.
    fs::write(&path, b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R0}.").unwrap();
    let error = refused(&path);
    assert!(
        matches!(&error, ImportError::Global { global, place: None, .. } if global == "os.system"),
        "{error}"
    );
}

#[test]
fn a_tar_archive_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pth.tar");
    let mut header = vec![0; 512];
    header[257..262].copy_from_slice(b"ustar");
    fs::write(&path, header).unwrap();
    let error = refused(&path);
    assert!(matches!(error, ImportError::Tar(_)), "{error}");
}

#[test]
fn what_no_network_can_be_is_told_before_it_is_read() {
    for (file, says) in [
        (
            "bomb.pth",
            "its `archive/data.pkl` is larger than any network's",
        ),
        ("list.pth", "Expected a dictionary"),
        (
            "tiny.json",
            "neither a whole safetensors file nor a whole file of torch.save",
        ),
    ] {
        let error = refused(&fixture(file)).to_string();
        assert!(error.contains(says), "{file}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    fs::write(&path, b"\xff\xff\xff\xff\0\0\0\0{}").unwrap();
    let error = refused(&path).to_string();
    assert!(error.contains("the header is larger"), "{error}");
}

#[test]
fn tensors_of_whole_numbers_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let bytes = fs::read(fixture("tiny.safetensors")).unwrap();
    let header = br#""classifier.bias":{"dtype":"F32""#;
    let at = bytes
        .windows(header.len())
        .position(|window| window == header)
        .unwrap();
    let mut changed = bytes.clone();
    changed[at + header.len() - 4..][..3].copy_from_slice(b"I32");
    fs::write(&path, changed).unwrap();
    let error = refused(&path).to_string();
    assert!(
        error.contains("`classifier.bias` holds i32, but weights are f32, f64, f16 or bf16"),
        "{error}"
    );
}

#[test]
fn a_storage_that_is_too_short_is_told_with_its_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.pth");
    let mut old = zip::ZipArchive::new(File::open(fixture("tiny.pth")).unwrap()).unwrap();
    let mut new = zip::ZipWriter::new(File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for i in 0..old.len() {
        let mut entry = old.by_index(i).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if name.ends_with("data/0") {
            bytes.truncate(100);
        }
        new.start_file(
            name,
            options.compression_method(zip::CompressionMethod::Stored),
        )
        .unwrap();
        new.write_all(&bytes).unwrap();
    }
    new.finish().unwrap();
    let error = refused(&path).to_string();
    assert!(
        error.contains("`conv_stem.weight`") && error.contains("25 are available"),
        "{error}"
    );
}

#[test]
fn all_that_does_not_fit_is_counted_and_the_first_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let cream = Space::builtin("cream-224").unwrap();
    let known = preset("cream-14").unwrap().architecture;
    let request = Request {
        network: Some((&cream, &known)),
        ..Request::default()
    };
    write_weights(&path, &state(&json("cream.json")), HashMap::new()).unwrap();
    let error = import(&path, &request).unwrap_err();
    let ImportError::Misfits {
        misfits,
        architecture,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(architecture, "cream-224@64:0/33/33/1/3");
    // The fixture has a block more in stage 0 and two more in stage 3, and one less in stage 2.
    assert_eq!((misfits.missing.len(), misfits.extra.len()), (19, 57));
    let message = error.to_string();
    assert!(
        message.contains("19 missing (blocks.3.1.") && message.contains("57 extra (blocks.1.1."),
        "{message}"
    );
    assert!(
        message.contains(
            "of another shape (blocks.2.1.conv_pw.weight [160, 40, 1, 1] instead of [240, 40, 1, 1]"
        ),
        "{message}"
    );
}

fn changed(change: impl FnOnce(&mut Vec<NamedTensor>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut tensors = state(&json("tiny.json"));
    change(&mut tensors);
    write_weights(&path, &tensors, HashMap::new()).unwrap();
    refused(&path).to_string()
}

fn tensor<'a>(tensors: &'a mut [NamedTensor], name: &str) -> &'a mut NamedTensor {
    tensors
        .iter_mut()
        .find(|tensor| tensor.name == name)
        .unwrap()
}

#[test]
fn a_network_of_no_space_is_told_space_by_space() {
    let other_kernel = changed(|tensors| {
        let conv = tensor(tensors, "blocks.2.1.conv_dw.weight");
        conv.shape = vec![64, 1, 7, 7];
        conv.values = vec![0.0; 64 * 49];
    });
    for says in [
        "cream-224: it has 7 groups of blocks, not 5",
        "tiny-32: `blocks.2.1` has no operation of 7x7 on 64 channels",
        "--arch",
        "--space",
    ] {
        assert!(other_kernel.contains(says), "{other_kernel}");
    }
    let gap = changed(|tensors| tensors.retain(|t| !t.name.starts_with("blocks.2.0.")));
    assert!(gap.contains("not numbered without gaps"), "{gap}");
    let no_classifier = changed(|tensors| tensors.retain(|t| !t.name.starts_with("classifier.")));
    assert!(
        no_classifier.contains("2 missing (classifier.weight, classifier.bias)"),
        "{no_classifier}"
    );
    let no_stem = changed(|tensors| tensors.retain(|t| t.name != "conv_stem.weight"));
    assert!(
        no_stem.contains("has no tensor `conv_stem.weight`"),
        "{no_stem}"
    );
}

#[test]
fn a_missing_file_is_a_wrong_command_and_an_empty_one_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.pth");
    assert!(refused(&path).is_usage());
    fs::write(&path, "").unwrap();
    let error = refused(&path);
    assert!(
        !error.is_usage() && matches!(error, ImportError::Damaged { .. }),
        "{error}"
    );
}

#[test]
fn what_is_said_of_images_must_fit_them() {
    let path = fixture("tiny.pth");
    let says = |request: Request<'_>, part: &str| {
        let error = import(&path, &request).unwrap_err();
        assert!(
            error.is_usage() && error.to_string().contains(part),
            "{error}"
        );
    };
    let plain = grey;
    says(
        Request {
            ..Request::default()
        },
        "give --mean and --std",
    );
    says(
        Request {
            mean: Some(vec![0.5; 3]),
            ..plain()
        },
        "--mean has 3 values, but images have 1 channels",
    );
    says(
        Request {
            std: Some(vec![0.0]),
            ..plain()
        },
        "--std above 0",
    );
    says(
        Request {
            mean: Some(vec![f32::NAN]),
            ..plain()
        },
        "must be finite",
    );
    says(
        Request {
            classes: Some(vec!["a".into()]),
            ..plain()
        },
        "4 classes apart, and 1 are named",
    );
    says(
        Request {
            shorter_side: Some(27),
            ..plain()
        },
        "--resize must be 28 to 8192, not 27",
    );
    says(
        Request {
            resolution: Some(29),
            ..plain()
        },
        "29",
    );
}
