//! What a command answers.

/// The answer of a command, for people and for programs.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Lines for people, with the line break at the end.
    pub text: String,
    /// One object for programs.
    pub json: serde_json::Value,
    /// Whether the command was stopped before its end.
    pub stopped: bool,
}

impl Answer {
    /// The answer of a command that is done.
    pub fn done(text: String, json: serde_json::Value) -> Self {
        Self {
            text,
            json,
            stopped: false,
        }
    }

    /// 0 for done; a shell's number for "stopped by SIGINT" else.
    pub fn exit_code(&self) -> u8 {
        if self.stopped { 130 } else { 0 }
    }
}
