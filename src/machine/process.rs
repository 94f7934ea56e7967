//! Running a program: capture, time limit, process group, standard input.

/// A program to run.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
}

/// A program that ran.
#[derive(Clone, Debug, Default)]
pub struct Completed {
    /// Its exit status; negative for a signal.
    pub status: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained.
    pub stderr: Vec<u8>,
}
