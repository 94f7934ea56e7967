//! [`Program`]: something that runs on a host, over a channel or as a child process: bytes in, bytes out, an end.

use std::io;
use std::process::Stdio;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

/// What a program says.
#[derive(Debug)]
pub(super) enum Said {
    /// On its standard output.
    Out(Bytes),
    /// On its standard error.
    Err(Bytes),
    /// That it is over.
    Ended(Ending),
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With an exit status.
    Status(i32),
    /// By a signal.
    Signal(String),
    /// It was never started.
    NotStarted,
}

impl Ending {
    /// The exit status as a shell and Ansible state it; a signal is negative.
    pub(super) fn code(&self) -> i32 {
        match self {
            Self::Status(status) => *status,
            Self::Signal(name) => -signal_number(name),
            Self::NotStarted => 255,
        }
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Status(status) => format!("exit status {status}"),
            Self::Signal(name) => format!("killed by SIG{name}"),
            Self::NotStarted => "the server refused to run it".to_owned(),
        }
    }
}

fn signal_number(name: &str) -> i32 {
    const NUMBERS: [(&str, i32); 12] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("ABRT", 6),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
    ];
    NUMBERS.iter().find(|(known, _)| *known == name).map_or(15, |(_, number)| *number)
}

/// A running program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

/// The program's voice.
#[derive(Debug)]
pub(super) enum Reader {
    Channel(ChannelReadHalf),
    Child(mpsc::Receiver<Said>),
}

/// The program's ear.
#[derive(Debug)]
pub(super) enum Writer {
    Channel(ChannelWriteHalf<Msg>),
    Child(Option<ChildStdin>),
}

impl Program {
    /// A program started by `exec` on `channel`.
    pub(super) fn on_channel(channel: Channel<Msg>) -> Self {
        let (reader, writer) = channel.split();
        Self { reader: Reader::Channel(reader), writer: Writer::Channel(writer) }
    }

    /// Starts `argv` on the controller.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn spawn(argv: &[String]) -> io::Result<Self> {
        let (program, arguments) = argv.split_first().ok_or_else(|| io::Error::other("nothing to run"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0); // a Ctrl-C is the controller's to handle
        let mut child = command.spawn()?;
        let writer = Writer::Child(child.stdin.take());
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(follow(child, sender));
        Ok(Self { reader: Reader::Child(receiver), writer })
    }
}

/// Passes on what `child` says, then how it ended.
async fn follow(mut child: Child, sender: mpsc::Sender<Said>) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let outs = pass_on(out, &sender, Said::Out);
    let errs = pass_on(err, &sender, Said::Err);
    let ending = async {
        let status = child.wait().await.ok()?;
        Some(ending_of(status))
    };
    // The end is told when the child has ended, even while a grandchild holds its output open.
    let (ending, ()) = tokio::join!(ending, async {
        tokio::join!(outs, errs);
    });
    let _ = sender.send(Said::Ended(ending.unwrap_or(Ending::NotStarted))).await;
}

/// How a child process ended.
pub(super) fn ending_of(status: std::process::ExitStatus) -> Ending {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Status(code),
        (None, Some(9)) => Ending::Signal("KILL".to_owned()),
        (None, Some(11)) => Ending::Signal("SEGV".to_owned()),
        (None, signal) => Ending::Signal(if signal == Some(1) { "HUP" } else { "TERM" }.to_owned()),
    }
}

async fn pass_on(pipe: Option<impl AsyncRead + Unpin>, sender: &mpsc::Sender<Said>, said: fn(Bytes) -> Said) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 32 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
        if sender.send(said(bytes)).await.is_err() {
            return;
        }
    }
}

impl Reader {
    /// What the program says next; `None` when there will be nothing more.
    pub(super) async fn next(&mut self) -> Option<Said> {
        let channel = match self {
            Self::Child(receiver) => return receiver.recv().await,
            Self::Channel(channel) => channel,
        };
        loop {
            return Some(match channel.wait().await? {
                ChannelMsg::Data { data } => Said::Out(data),
                ChannelMsg::ExtendedData { data, .. } => Said::Err(data),
                ChannelMsg::ExitStatus { exit_status } => Said::Ended(Ending::Status(exit_status.cast_signed())),
                ChannelMsg::ExitSignal { signal_name, .. } => Said::Ended(Ending::Signal(signal_text(&signal_name))),
                ChannelMsg::Failure => Said::Ended(Ending::NotStarted),
                _ => continue,
            });
        }
    }
}

fn signal_text(signal: &russh::Sig) -> String {
    match signal {
        russh::Sig::Custom(name) => name.clone(),
        other => format!("{other:?}"),
    }
}

impl Writer {
    /// Sends `bytes` to the program's standard input; waits while it does not read.
    ///
    /// # Errors
    /// It is gone.
    pub(super) async fn write(&mut self, bytes: impl Into<Bytes>) -> io::Result<()> {
        match self {
            Self::Channel(channel) => channel.data_bytes(bytes).await.map_err(io::Error::other),
            Self::Child(None) => Err(io::ErrorKind::BrokenPipe.into()),
            Self::Child(Some(stdin)) => {
                stdin.write_all(&bytes.into()).await?;
                stdin.flush().await
            }
        }
    }

    /// Ends the program's standard input.
    pub(super) async fn end(&mut self) {
        match self {
            Self::Channel(channel) => drop(channel.eof().await),
            Self::Child(stdin) => *stdin = None,
        }
    }

    /// Closes the channel; the server then hangs up on the program.
    pub(super) async fn close(&mut self) {
        match self {
            Self::Channel(channel) => drop(channel.close().await),
            Self::Child(stdin) => *stdin = None,
        }
    }
}
