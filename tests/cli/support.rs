//! Runs the program in a folder of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A scenario with every key; [`line_of`] finds a key.
pub const SCENARIO: &str = "\
[model]
layers = 30
hidden_size = 2560
heads = 32
kv_heads = 32
head_dim = 80
ffn_size = 10240
gated_ffn = false
[quantization]
memory_factor = 0.5
time_factor = 1.0
perplexity_increase = 0.05
[node]
compute_flops = 26.6e12
memory_bytes = 640e9
[radio]
uplink_bandwidth_hz = 20e6
downlink_bandwidth_hz = 20e6
noise_density_dbm_per_hz = -174.0
downlink_power_dbm = 43.0
bits_per_token = 16
[epoch]
duration_s = 2.0
uplink_slot_s = 0.25
downlink_slot_s = 0.25
[batching]
padding = \"fixed\"
padded_prompt_tokens = 512
[synthesis]
seed = 1
deadline_s = [0.5, 2.0]
max_perplexity_increase = [0, 1]
channel = \"rayleigh\"
mean_channel_power_gain = 1e-3
uplink_power_dbm = 20
";

pub const HEADER: &str =
    "id,prompt_tokens,output_tokens,deadline_s,waited_s,max_perplexity_increase,channel_power_gain,uplink_power_dbm";

/// Three requests, the second on line 3.
pub const REQUESTS: &str = "\
id,prompt_tokens,output_tokens,deadline_s,waited_s,max_perplexity_increase,channel_power_gain,uplink_power_dbm
a,128,20,2.0,0,1,0.001,20
b,256,10,1.5,0.125,1,0.001,20
c,512,1,1.0,0,1,0.001,20
";

/// Three arrivals in the first two seconds, one later, in each format.
pub const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.5000000,100,20
2023-11-16 18:17:04.2500000,200,10
2023-11-16 18:17:05.0000000,300,5
2023-11-16 18:17:13.5000000,400,1
";
pub const VIDUR: &str =
    "arrived_at,num_prefill_tokens,num_decode_tokens\n7.5,100,20\n8.25,200,10\n9,300,5\n17.5,400,1\n";
pub const MOONCAKE: &str = r#"{"timestamp": 500, "input_length": 100, "output_length": 20, "hash_ids": [0, 1]}
{"timestamp": 1250, "input_length": 200, "output_length": 10, "hash_ids": []}

{"timestamp": 2000, "input_length": 300, "output_length": 5}
{"timestamp": 10500, "input_length": 400, "output_length": 1}
"#;

/// Every option that reads a file, with the verb for it.
pub const READS: [(&str, &str); 6] = [
    ("solve", "--scenario"),
    ("solve", "--requests"),
    ("solve", "--model-config"),
    ("verify", "--solution"),
    ("place", "--problem"),
    ("place", "--verify"),
];

/// The line of `text` that starts with `start`, from 1.
pub fn line_of(text: &str, start: &str) -> usize {
    1 + text.lines().position(|line| line.starts_with(start)).expect("the line is there")
}

/// A folder that the program runs in, so that files have short names.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    /// With the scenario and requests above.
    pub fn with_epoch() -> Self {
        let folder = Folder::new();
        folder.write("scenario.toml", SCENARIO);
        folder.write("requests.csv", REQUESTS);
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    pub fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dftsp"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = self.run(args);
        assert_eq!((output.status.code(), text_of(&output.stderr)), (Some(0), String::new()), "{args:?}");
        output.stdout
    }

    pub fn ok_text(&self, args: &[&str]) -> String {
        String::from_utf8(self.ok(args)).unwrap()
    }

    /// Runs a command that must be refused, and gives its message without the name of the program.
    pub fn refused(&self, args: &[&str]) -> String {
        self.refused_command(&mut self.command(args))
    }

    pub fn refused_command(&self, command: &mut Command) -> String {
        let before = self.names();
        let output = command.output().unwrap();
        assert_eq!(self.names(), before, "{command:?} changed the folder");
        let context = format!("{command:?}");
        assert!(output.stdout.is_empty(), "{context} wrote to standard output: {}", text_of(&output.stdout));
        message(&output, &context)
    }

    /// `solve` on the scenario and requests of this folder, which must refuse with a message that starts like this.
    pub fn solve_refused(&self, start: &str) {
        let message =
            self.refused(&["solve", "--scenario", "scenario.toml", "--requests", "requests.csv", "--output", "out"]);
        assert!(message.starts_with(start), "{message:?} does not start with {start:?}");
    }

    pub fn spawn_piped(&self, args: &[&str]) -> Child {
        self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// The one line of a command that was refused.
pub fn message(output: &Output, context: &str) -> String {
    let stderr = text_of(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{context}: {stderr}");
    let message = stderr.strip_prefix("dftsp: ").and_then(|rest| rest.strip_suffix('\n'));
    let message = message.unwrap_or_else(|| panic!("{context}: not \"dftsp: ...\" on one line: {stderr:?}"));
    assert!(!message.contains(char::is_control) && message.len() < 3000, "{context}: {stderr:?}");
    message.to_string()
}

pub fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes all of the program's standard input.
pub fn feed(child: &mut Child, bytes: &[u8]) {
    child.stdin.take().unwrap().write_all(bytes).unwrap();
}

/// A JSON solution without the line that a second run may change.
pub fn without_seconds(json: &str) -> String {
    let lines: Vec<&str> = json.lines().filter(|line| !line.trim_start().starts_with("\"seconds\":")).collect();
    assert_eq!(lines.len() + 1, json.lines().count(), "{json}");
    lines.join("\n")
}
