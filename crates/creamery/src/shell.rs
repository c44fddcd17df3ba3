//! Commands that work when they are pasted.

use std::path::Path;

/// A path as a POSIX shell reads it back: as it is where that is safe, else in single quotes.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    // A path like `-o` would be read as an option.
    let text = if text.starts_with('-') {
        format!("./{text}")
    } else {
        text
    };
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a library, because a process that this one starts holds its locks for a moment, and other tests see that.
    #[test]
    fn a_shell_reads_the_path_back() {
        for path in [
            "runs/cream-1/result.json",
            "my runs/it's $HOME `x` \"y\" \\ é\n*",
            "'",
            "",
            "~/a",
            "a;b&c|d<e>f(g)#h!i",
        ] {
            assert_eq!(shlex::split(&quoted(Path::new(path))).unwrap(), [path]);
        }
    }

    #[test]
    fn only_what_needs_quotes_has_them() {
        assert_eq!(quoted(Path::new("runs/a-1")), "runs/a-1");
        assert_eq!(quoted(Path::new("my runs")), "'my runs'");
        assert_eq!(quoted(Path::new("-o")), "./-o");
    }
}
