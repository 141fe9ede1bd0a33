//! `dftsp generate`: the same bytes on every machine.

use super::support::Folder;

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The bytes are a contract: whoever has a seed has the workload. A change here is a change for every user.
#[test]
fn bytes_are_pinned() {
    let folder = Folder::new();
    let cases: [(&[&str], u64, u64); 3] = [
        (
            &["generate", "paper", "--requests", "50", "--seed", "7", "--max-wait", "0.5"],
            0x97dc_9a00_2ea2_82bd,
            0xc83f_ede5_a26c_66af,
        ),
        (&["generate", "binding", "--requests", "50", "--seed", "7"], 0x8530_e26f_bf34_73f7, 0xebdf_c30f_62e3_249c),
        (
            &["generate", "binding", "--requests", "50", "--continuous", "--padding", "longest", "--tightness", "0.6"],
            0xc7e4_3140_a95f_f139,
            0x136d_8cac_765b_f461,
        ),
    ];
    for (args, requests, scenario) in cases {
        let printed = folder.ok(&[args, &["--scenario-output", "scenario.toml"]].concat());
        // Without its comments, which may be worded better one day.
        let keys: String = folder
            .text("scenario.toml")
            .lines()
            .map(|line| line.split('#').next().unwrap().trim_end().to_string() + "\n")
            .collect();
        let hashes = (fnv1a(&printed), fnv1a(keys.as_bytes()));
        assert_eq!(hashes, (requests, scenario), "{args:?} gives {hashes:#x?}");
    }
}

#[test]
fn the_same_options_give_the_same_bytes_anywhere() {
    let folder = Folder::new();
    for family in ["paper", "binding"] {
        for channel in ["shared", "rayleigh"] {
            let args = ["generate", family, "--requests", "5000", "--channel", channel, "--levels", "16"];
            let printed = folder.ok(&args);
            assert_eq!(folder.ok(&args), printed);
            folder.ok(&[args.as_slice(), &["--output", "out.csv", "--scenario-output", "out.toml"]].concat());
            assert_eq!(folder.read("out.csv"), printed);
            let other = folder.ok(&[args.as_slice(), &["--seed", "2"]].concat());
            assert_ne!(other, printed);
        }
    }
}

#[test]
fn the_embedded_epoch_is_the_default_of_the_binding_family() {
    let folder = Folder::new();
    folder.ok(&["generate", "binding", "--output", "r.csv", "--scenario-output", "s.toml"]);
    folder.ok(&[
        "solve",
        "--scenario",
        "s.toml",
        "--requests",
        "r.csv",
        "--format",
        "json",
        "--output",
        "solution.json",
    ]);
    assert!(folder.ok_text(&["verify", "--solution", "solution.json"]).starts_with("verified: "));
}
