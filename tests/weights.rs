//! Weights from files: good ones, bad ones, and what is measured on them.

#![cfg(feature = "weights")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here should stop the run")]

#[path = "common/safetensors.rs"]
mod safetensors;

use std::fs;
use std::path::Path;

use dftsp::quantizer::Granularity::{Channel, Group, Tensor};
use dftsp::quantizer::cache::Cache;
use dftsp::quantizer::calibration::{Calibration, Recorded};
use dftsp::quantizer::grid::Symmetry::{self, Asymmetric, Symmetric};
use dftsp::quantizer::layers::{Family, Kind, Layers};
use dftsp::quantizer::memory::quantize;
use dftsp::quantizer::{Checkpoint, Granularity, Scheme, Settings, Source, Synthetic, Table};
use rayon::ThreadPoolBuilder;
use safetensors::{Part, bf16s, f32s, file, llama, weights, with_header};
use tempfile::TempDir;

const BITS: [u32; 6] = [2, 3, 4, 8, 16, 32];

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn settings(granularity: Granularity, scheme: Scheme) -> Settings {
    Settings::new(BITS.to_vec(), granularity, scheme).unwrap()
}

fn measure(source: &dyn Source, settings: &Settings) -> Table {
    Table::measure(source, &Layers::of(source, None).unwrap(), settings, None).unwrap()
}

fn refused(path: &Path) -> String {
    let found = Checkpoint::open(path).and_then(|files| {
        let layers = Layers::of(&files, files.config()?.as_ref())?;
        Table::measure(&files, &layers, &settings(Group(32), Scheme::Auto), None)
    });
    let message = found.unwrap_err().to_string();
    assert!(
        !message.contains(char::is_control) && (message.contains("; ") || message.contains("cannot")),
        "{message:?}"
    );
    message
}

#[test]
fn layers_of_a_llama_are_found_and_summed_up() {
    let folder = folder(&[("model.safetensors", file(&llama(2)))]);
    let files = Checkpoint::open(folder.path()).unwrap();
    let found = Layers::of(&files, None).unwrap();
    assert_eq!((found.family, found.tied(), found.others.len()), (Family::Llama, false, 0));
    let kinds: Vec<Kind> = found.layers.iter().map(|l| l.kind).collect();
    assert_eq!(kinds, [Kind::Embedding, Kind::Decoder(0), Kind::Decoder(1), Kind::Head]);
    let [embedding, decoder, _, head] = &found.layers[..] else { panic!("{found:?}") };
    assert_eq!((embedding.parameters, embedding.flops_per_token, embedding.activation_bytes), (96, 8, 16));
    let matrices = 64 + 32 + 32 + 64 + 3 * 128;
    assert_eq!((decoder.parameters, decoder.bytes, decoder.matrices.len()), (matrices + 16, 4 * (matrices + 16), 7));
    assert_eq!((decoder.flops_per_token, decoder.kv_bytes_per_token), (2 * matrices + 16, 2 * 8));
    assert_eq!((head.parameters, head.flops_per_token, head.activation_bytes), (8 + 96, 8 + 192, 4));
}

#[test]
fn names_of_opt_bloom_and_qwen2_are_known() {
    let matrix =
        |name: &str, rows: u64, columns: u64| f32s(name, &[rows, columns], &weights(rows, (rows * columns) as usize));
    let bias = |name: &str, n: u64| f32s(name, &[n], &vec![0.5; n as usize]);
    for (family, kv, parts) in [
        (
            Family::Opt,
            32,
            vec![
                matrix("decoder.embed_tokens.weight", 10, 4),
                matrix("decoder.embed_positions.weight", 6, 8),
                matrix("decoder.project_in.weight", 8, 4),
                matrix("decoder.project_out.weight", 4, 8),
                matrix("decoder.layers.0.self_attn.q_proj.weight", 8, 8),
                matrix("decoder.layers.0.self_attn.k_proj.weight", 8, 8),
                matrix("decoder.layers.0.self_attn.v_proj.weight", 8, 8),
                matrix("decoder.layers.0.fc1.weight", 32, 8),
                bias("decoder.layers.0.fc1.bias", 32),
            ],
        ),
        (
            Family::Bloom,
            32,
            vec![
                matrix("transformer.word_embeddings.weight", 10, 8),
                bias("transformer.word_embeddings_layernorm.bias", 8),
                matrix("transformer.h.0.self_attention.query_key_value.weight", 24, 8),
                matrix("transformer.h.0.mlp.dense_h_to_4h.weight", 32, 8),
                bias("transformer.ln_f.weight", 8),
            ],
        ),
        (
            Family::Qwen2,
            16,
            vec![
                matrix("model.embed_tokens.weight", 10, 8),
                matrix("model.layers.0.self_attn.q_proj.weight", 8, 8),
                bias("model.layers.0.self_attn.q_proj.bias", 8),
                matrix("model.layers.0.self_attn.k_proj.weight", 4, 8),
                matrix("model.layers.0.self_attn.v_proj.weight", 4, 8),
                bias("model.norm.weight", 8),
            ],
        ),
    ] {
        let folder = folder(&[("weights.safetensors", file(&parts))]);
        let files = Checkpoint::open(folder.path()).unwrap();
        let found = Layers::of(&files, None).unwrap();
        assert_eq!((found.family, found.layers.len(), found.tied(), found.others.len()), (family, 3, true, 0));
        assert_eq!(found.layers[1].kv_bytes_per_token, kv, "{family}");
        let table = measure(&files, &settings(Channel, Scheme::Auto));
        for row in &table.rows {
            assert!(row.errors.is_sorted_by(|a, b| a >= b) && row.errors[0] > 0.0 && row.errors[5] == 0.0, "{row:?}");
        }
    }
}

/// What is streamed in pieces is what the quantiser in memory says.
#[test]
fn a_table_is_what_each_matrix_loses() {
    let (rows, columns) = (700, 300);
    let w = weights(3, rows * columns);
    let skewed: Vec<f32> = w.iter().map(|x| x + 0.1).collect();
    for (values, chosen) in [(&w, Symmetric), (&skewed, Asymmetric)] {
        for granularity in [Tensor, Channel, Group(32), Group(128)] {
            let name = "model.layers.0.mlp.up_proj.weight";
            let folder = folder(&[("a.safetensors", file(&[f32s(name, &[rows as u64, columns as u64], values)]))]);
            let files = Checkpoint::open(folder.path()).unwrap();
            let auto = measure(&files, &settings(granularity, Scheme::Auto));
            let fixed = measure(&files, &settings(granularity, Scheme::Always(chosen)));
            if granularity == Group(32) || chosen == Asymmetric {
                assert_eq!(auto.rows[0].symmetry, chosen.name(), "{granularity:?}");
            }
            for (i, &bits) in BITS[..5].iter().enumerate() {
                let slow = quantize(values, columns, bits, granularity, chosen).unwrap().relative_error();
                let error = fixed.rows[0].errors[i];
                assert!((error - slow).abs() <= 1e-9 * slow, "{granularity:?}, {bits}: {error} and {slow}");
            }
        }
    }
}

/// A tensor beyond a million weights goes by a histogram; what it loses is counted exactly.
#[test]
fn long_tensors_lose_no_more_than_short_ones_would() {
    let (rows, columns) = (1100, 1024);
    let w = weights(5, rows * columns);
    let name = "model.layers.0.mlp.up_proj.weight";
    let folder = folder(&[("a.safetensors", file(&[f32s(name, &[rows as u64, columns as u64], &w)]))]);
    let files = Checkpoint::open(folder.path()).unwrap();
    for symmetry in [Symmetric, Asymmetric] {
        let table = measure(&files, &settings(Tensor, Scheme::Always(symmetry)));
        for (i, &bits) in BITS[..5].iter().enumerate() {
            let direct = quantize(&w, columns, bits, Tensor, symmetry).unwrap().relative_error();
            let error = table.rows[0].errors[i];
            assert!((error - direct).abs() <= 1e-3 * direct, "{symmetry:?}, {bits}: {error} and {direct}");
        }
    }
}

#[test]
fn sixteen_bit_files_are_exact_at_16_bits() {
    let w = weights(9, 64 * 64);
    let name = "model.layers.0.mlp.up_proj.weight";
    let folder = folder(&[("a.safetensors", file(&[bf16s(name, &[64, 64], &w)]))]);
    let files = Checkpoint::open(folder.path()).unwrap();
    let errors = &measure(&files, &settings(Group(64), Scheme::Auto)).rows[0].errors;
    assert!(errors[3] > 0.0 && errors[4..] == [0.0, 0.0], "{errors:?}");
    let rounded: Vec<f32> = w.iter().map(|x| f32::from_bits(x.to_bits() & 0xffff_0000)).collect();
    let mut read = vec![0.0; rounded.len()];
    files.read(0, 0, &mut read).unwrap();
    assert_eq!(read, rounded);
}

#[test]
fn shards_are_one_model() {
    let parts = llama(2);
    let whole = folder(&[("model.safetensors", file(&parts))]);
    let map: Vec<String> =
        parts.iter().enumerate().map(|(i, p)| format!(r#""{}": "part-{}.safetensors""#, p.name, i % 3)).collect();
    let index = format!(r#"{{"metadata": {{"total_size": 1}}, "weight_map": {{{}}}}}"#, map.join(","));
    let mut shards: Vec<Vec<Part>> = vec![Vec::new(), Vec::new(), Vec::new()];
    parts.into_iter().enumerate().for_each(|(i, p)| shards[i % 3].push(p));
    let mut files = vec![("model.safetensors.index.json".to_string(), index.into_bytes())];
    files.extend(shards.iter().enumerate().map(|(i, s)| (format!("part-{i}.safetensors"), file(s))));
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    let sharded = folder(&files);
    let settings = settings(Group(32), Scheme::Auto);
    let table = |folder: &TempDir| measure(&Checkpoint::open(folder.path()).unwrap(), &settings);
    assert_eq!(table(&whole), table(&sharded));

    let index = |text: &str| fs::write(sharded.path().join("model.safetensors.index.json"), text).unwrap();
    for (text, message) in [
        (r#"{"weight_map": {"a": "../part-0.safetensors"}}"#, "'../part-0.safetensors' is not the name of"),
        (r#"{"weight_map": {"a": "/etc/x.safetensors"}}"#, "is not the name of"),
        (r#"{"weight_map": {"a": "passwd"}}"#, "is not the name of"),
        (r#"{"weight_map": {"a": "none.safetensors"}}"#, "the file 'none.safetensors' that it names is missing"),
        (r#"{"weight_map": {"a": "part-0.safetensors"}}"#, "tensor 'a': it is not in 'part-0.safetensors'"),
        (r#"{"weight_map": {"a": "p.safetensors", "a": "q.safetensors"}}"#, "'a' is there twice"),
        (r#"{"weight_map": {"a": 3}}"#, "invalid type"),
        (r#"{"weight_map": {}}"#, "the weight_map is empty"),
        (r#"{"weights": {}}"#, "missing field"),
        ("", "EOF"),
    ] {
        index(text);
        let found = refused(sharded.path());
        assert!(found.contains("model.safetensors.index.json") && found.contains(message), "{text}: {found}");
    }
}

#[test]
fn hostile_headers_are_refused_in_one_line() {
    let header = |text: &str, data: usize| with_header(text, &vec![0; data]);
    let tensor = |dtype: &str, shape: &str, offsets: &str| {
        header(&format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#), 16)
    };
    let good = file(&llama(1));
    let deep = format!("{{\"__metadata__\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_shape = format!(r#"{{"a":{{"dtype":"F32","shape":{}"#, "[".repeat(100_000));
    let many = format!(r#"{{"a":{{"dtype":"F32","shape":[{}1],"data_offsets":[0,16]}}}}"#, "1,".repeat(100_000));
    for (bytes, message) in [
        (Vec::new(), "the file has 0 bytes, too few"),
        (vec![1, 2, 3], "the file has 3 bytes, too few"),
        (good[..40].to_vec(), "bytes, but 32 follow"),
        (good[..good.len() - 1].to_vec(), "do not lie in the"),
        (good.iter().copied().chain([0]).collect(), "the last 1 bytes of the file belong to no tensor"),
        ([&[0xff; 8], &good[8..]].concat(), "would take 18446744073709551615 bytes"),
        (vec![0; 64], "it does not start with '{'"),
        (header("[]", 0), "does not start with '{'"),
        (header("{\"a\u{0}\":", 0), "control character"),
        (with_header("", &[]), "does not start"),
        (header("{", 0), "EOF"),
        (header("{}", 3), "the last 3 bytes"),
        (header("{}", 0), "no layers are found by their names; of 0 tensors"),
        (
            with_header("{\"é\":1}", &[]).iter().map(|&b| if b == 0xa9 { b'x' } else { b }).collect(),
            "byte 2 is not UTF-8",
        ),
        (tensor("F32", "[4]", "[0,15]"), "shape [4] of F32 does not take 15 bytes"),
        (tensor("F32", "[5]", "[0,16]"), "does not take 16 bytes"),
        (tensor("F32", "[4294967296,4294967296,2]", "[0,16]"), "does not take 16"),
        (tensor("F32", "[18446744073709551615]", "[0,16]"), "does not take 16"),
        (tensor("F32", "[18446744073709551616]", "[0,16]"), "invalid type"),
        (tensor("F32", "[-1]", "[0,16]"), "invalid value"),
        (tensor("F32", "4", "[0,16]"), "a list of dimensions"),
        (tensor("F32", "[4]", "[0,17]"), "its bytes 0 to 17 do not lie in the 16"),
        (tensor("F32", "[4]", "[16,0]"), "its bytes 16 to 0"),
        (tensor("F32", "[4]", "[18446744073709551600,18446744073709551615]"), "do not lie in"),
        (tensor("F32", "[3]", "[4,16]"), "4 bytes before it belong to no tensor"),
        (tensor("Q4", "[4]", "[0,16]"), "the type 'Q4' is not known"),
        (tensor("F32", "[4]", "[0,16,32]"), "header: "),
        (
            header(
                r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
                16,
            ),
            "'a' is there twice",
        ),
        (
            header(
                r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#,
                16,
            ),
            "tensor 'b': its first 8 bytes are another's as well",
        ),
        (header(r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x\n":1}}"#, 16), "unknown field"),
        (header(&deep, 0), "no layers are found"),
        (header(&deep_shape, 0), "invalid type"),
        (header(&many, 16), "more than 8 dimensions"),
    ] {
        let folder = folder(&[("model.safetensors", bytes)]);
        let found = refused(folder.path());
        assert!(found.contains("model.safetensors") && found.contains(message), "{message}: {found}");
    }
}

#[test]
fn wrong_weights_are_refused_by_name() {
    let with = |change: &dyn Fn(&mut Vec<Part>)| {
        let mut parts = llama(2);
        change(&mut parts);
        refused(folder(&[("model.safetensors", file(&parts))]).path())
    };
    let name = "model.layers.1.mlp.up_proj.weight";
    let set = |x: f32| {
        with(&|parts| {
            let part = parts.iter_mut().find(|p| p.name == name).unwrap();
            part.bytes[4 * 77..4 * 78].copy_from_slice(&x.to_le_bytes());
        })
    };
    assert!(set(f32::NAN).contains(&format!("tensor '{name}': element 77 is not a number (NaN)")), "{}", set(f32::NAN));
    assert!(set(f32::NEG_INFINITY).contains("element 77 is infinite"));
    let gap = with(&|parts| parts.retain(|p| !p.name.contains("layers.0.")));
    assert!(gap.contains("layer 0 has no tensors, but layer 1 has"), "{gap}");
    let integers = with(&|parts| parts.iter_mut().filter(|p| p.name == name).for_each(|p| p.dtype = "I32"));
    assert!(integers.contains(&format!("tensor '{name}': weights of type I32 are not read; convert")), "{integers}");
    let vectors = with(&|parts| parts.retain(|p| !p.name.contains("layers.1.") || p.shape.len() == 1));
    assert!(vectors.contains("layer 1 has no matrix of weights"), "{vectors}");
    let config = r#"{"model_type": "llama", "num_hidden_layers": 3, "hidden_size": 8, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": 16}"#;
    let beside = |config: String| {
        refused(folder(&[("model.safetensors", file(&llama(2))), ("config.json", config.into_bytes())]).path())
    };
    assert!(beside(config.to_string()).contains("2 layers are found, and config.json says 3"));
    let hidden = config.replace("layers\": 3", "layers\": 2").replace("hidden_size\": 8", "hidden_size\": 16");
    assert!(beside(hidden).contains("the hidden size is 8, and config.json says 16"));
    let empty = folder(&[]);
    assert!(refused(empty.path()).contains("no safetensors file is in the folder"));
    assert!(refused(&empty.path().join("none")).contains("cannot open"));
    let two = folder(&[("a.safetensors", file(&llama(1))), ("b.safetensors", file(&llama(1)))]);
    assert!(refused(two.path()).contains("2 safetensors files are in the folder"));
}

#[test]
fn results_are_the_same_on_any_number_of_threads() {
    let model = dftsp::scenario::preset::model("opt-13b").unwrap();
    let small = dftsp::scenario::Model {
        layers: 3,
        hidden_size: 320,
        heads: 4,
        kv_heads: 4,
        head_dim: 80,
        ffn_size: 640,
        ..model
    };
    let source = Synthetic::new(&small, 500, 20, 160, 4);
    let layers = Layers::of(&source, None).unwrap();
    assert!(layers.tied() && layers.family == Family::Opt);
    for granularity in [Tensor, Channel, Group(64)] {
        let settings = settings(granularity, Scheme::Auto);
        let on = |threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Table::measure(&source, &layers, &settings, Some(&Calibration::Synthetic(2)))).unwrap()
        };
        let one = on(1);
        assert_eq!((&one, &one), (&on(2), &on(5)));
    }
}

/// Inputs of equal size in every direction weigh every weight alike.
#[test]
fn outputs_on_an_identity_differ_as_the_weights_do() {
    let parts = llama(1);
    let model = folder(&[("model.safetensors", file(&parts))]);
    let files = Checkpoint::open(model.path()).unwrap();
    let layers = Layers::of(&files, None).unwrap();
    let identity = |name: &str, n: u64| {
        let eye: Vec<f32> = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
        f32s(name, &[n, n], &eye)
    };
    let settings = settings(Channel, Scheme::Always(Symmetry::Symmetric));
    let by_weights = Table::measure(&files, &layers, &settings, None).unwrap();
    let inputs = [identity("decoder.0", 8), identity("model.layers.0.mlp.down_proj", 16), identity("head", 8)];
    let calibration = |parts: &[Part]| {
        let folder = folder(&[("x.safetensors", file(parts))]);
        let files = Checkpoint::open(folder.path()).unwrap();
        // The open file outlives its name.
        Calibration::File(Recorded::new(files))
    };
    let by_outputs = Table::measure(&files, &layers, &settings, Some(&calibration(&inputs))).unwrap();
    for (a, b) in by_weights.rows.iter().zip(&by_outputs.rows) {
        for (a, b) in a.errors.iter().zip(&b.errors) {
            assert!((a - b).abs() <= 1e-5 * a, "{a} and {b}");
        }
    }
    let refused =
        |parts: &[Part]| Table::measure(&files, &layers, &settings, Some(&calibration(parts))).unwrap_err().to_string();
    assert!(refused(&inputs[..2]).contains("there are no inputs of head"));
    let wrong = [identity("model.layers.0.mlp.down_proj", 8), identity("decoder.0", 8), identity("head", 8)];
    assert!(refused(&wrong).contains("its shape [8, 8] is not of inputs to [8, 16]"));
    let nan = f32s("decoder.0", &[1, 8], &[f32::NAN; 8]);
    assert!(refused(&[nan, identity("head", 8)]).contains("tensor 'decoder.0': element 0 is not a number"));
}

#[test]
fn a_table_is_kept_until_anything_changes() {
    let folder = folder(&[("model.safetensors", file(&llama(1)))]);
    let files = Checkpoint::open(folder.path()).unwrap();
    let layers = Layers::of(&files, None).unwrap();
    let ask = settings(Channel, Scheme::Auto);
    let table = measure(&files, &ask);
    let cache = Cache::new(folder.path(), files.identity(), &ask, None);
    assert_eq!(cache.load(&layers, &ask), None);
    cache.store(&table).unwrap();
    assert_eq!(cache.load(&layers, &ask), Some(table.clone()));
    let other = settings(Group(32), Scheme::Auto);
    assert_eq!(Cache::new(folder.path(), files.identity(), &other, None).load(&layers, &other), None);
    let seeded = Some(&Calibration::Synthetic(1));
    assert_eq!(Cache::new(folder.path(), files.identity(), &ask, seeded).load(&layers, &ask), None);

    let text = fs::read_to_string(cache.path()).unwrap();
    let digit = text.rfind("0.0").unwrap() + 3;
    let mut flipped = text.clone().into_bytes();
    flipped[digit] = if flipped[digit] == b'1' { b'2' } else { b'1' };
    for damaged in [Vec::new(), text.as_bytes()[..text.len() / 2].to_vec(), flipped, vec![0xff; 9], b"{}".to_vec()] {
        fs::write(cache.path(), &damaged).unwrap();
        assert_eq!(cache.load(&layers, &ask), None, "{}", String::from_utf8_lossy(&damaged));
    }
    cache.store(&table).unwrap();
    let stale = |change: &dyn Fn(&mut dftsp::quantizer::checkpoint::Identity)| {
        let mut identity = files.identity().to_vec();
        change(&mut identity[0]);
        Cache::new(folder.path(), &identity, &ask, None).load(&layers, &ask)
    };
    assert_eq!(stale(&|_| ()), Some(table));
    assert_eq!(
        (stale(&|i| i.size += 1), stale(&|i| i.modified_ns += 1), stale(&|i| i.header.push('0'))),
        (None, None, None)
    );
}
