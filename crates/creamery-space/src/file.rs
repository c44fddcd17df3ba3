//! Spaces as TOML: the built-in ones and a user's own.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{SpaceError, suggestion};
use crate::space::Space;

/// Name and text of each built-in space.
const BUILTIN: [(&str, &str); 2] = [
    ("cream-224", include_str!("../spaces/cream-224.toml")),
    ("tiny-32", include_str!("../spaces/tiny-32.toml")),
];

/// Most bytes of a space's file.
const MAX_BYTES: u64 = 1 << 20;

impl Space {
    /// The built-in space of that name.
    pub fn builtin(name: &str) -> Option<Space> {
        let (name, text) = BUILTIN.iter().find(|(known, _)| *known == name)?;
        Some(Space::from_toml(text, name).expect("built-in spaces are valid"))
    }

    /// The names of the built-in spaces.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// Reads a space from TOML; [`Space`] shows the form. `origin` says in errors where the text is from.
    ///
    /// # Errors
    /// [`SpaceError::Toml`] with the line for a text that is not of the form, [`SpaceError::Invalid`] for
    /// one of the form that no network can be built from.
    pub fn from_toml(text: &str, origin: &str) -> Result<Space, SpaceError> {
        let space: Space = toml::from_str(text).map_err(|error| located(text, origin, &error))?;
        space.check()?;
        Ok(space)
    }

    /// The built-in space of that name, or else the space in the file of that path.
    ///
    /// # Errors
    /// [`SpaceError::Unknown`] if there is neither, [`SpaceError::Read`] if the file cannot be read, and
    /// those of [`Space::from_toml`]. A file may not give the name of a built-in space to another.
    pub fn resolve(name_or_path: &str) -> Result<Space, SpaceError> {
        if let Some(space) = Space::builtin(name_or_path) {
            return Ok(space);
        }
        let path = Path::new(name_or_path);
        let meant_as_path = path
            .extension()
            .is_some_and(|extension| extension == "toml")
            || path.components().count() > 1;
        if !meant_as_path && !path.is_file() {
            return Err(SpaceError::Unknown {
                name: name_or_path.to_string(),
                hint: suggestion(name_or_path, Space::builtin_names()),
                known: Space::builtin_names().collect::<Vec<_>>().join(", "),
            });
        }
        let text = read_bounded(path).map_err(|source| SpaceError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let space = Space::from_toml(&text, name_or_path)?;
        match Space::builtin(&space.name) {
            Some(builtin) if builtin.fingerprint() != space.fingerprint() => {
                Err(SpaceError::Invalid {
                    space: space.name,
                    place: "name".to_string(),
                    message: format!(
                        "is that of a different built-in space: choose another in {name_or_path}"
                    ),
                })
            }
            _ => Ok(space),
        }
    }

    /// The space as TOML that [`Space::from_toml`] reads back.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a space holds only what TOML can write")
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let message = format!("it has more than {MAX_BYTES} bytes, which no space needs");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// The error with its line, and for an unknown key the one that may have been meant.
fn located(text: &str, origin: &str, error: &toml::de::Error) -> SpaceError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let mut message = error.message().replace('\n', " ");
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut words = rest.split('`').skip(1).step_by(2);
        let word = words.next().unwrap_or_default();
        message = match suggestion(word, words) {
            hint if hint.is_empty() => format!("unknown key {rest}"),
            hint => format!("unknown key `{word}`{hint}"),
        };
    }
    SpaceError::Toml {
        origin: origin.to_string(),
        line: 1 + text.as_bytes()[..start]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count(),
        message: message.replace("missing field `", "missing key `"),
    }
}
