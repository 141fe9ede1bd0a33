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
use dftsp::quantizer::layers::{Family, Kind, Layer, Layers};
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

/// A layer of the first tensor alone.
fn measure_first(source: &dyn Source, settings: &Settings) -> Table {
    let layer = Layer {
        kind: Kind::Decoder(0),
        tensors: vec![0],
        matrices: vec![0],
        parameters: source.tensors()[0].elements(),
        bytes: 0,
        flops_per_token: 0,
        activation_bytes: 0,
        kv_bytes_per_token: 0,
        tied: false,
    };
    let layers = Layers { family: Family::Llama, layers: vec![layer], others: Vec::new() };
    Table::measure(source, &layers, settings, None).unwrap()
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
                matrix("decoder.layers.0.self_attn.out_proj.weight", 8, 8),
                matrix("decoder.layers.0.fc1.weight", 32, 8),
                bias("decoder.layers.0.fc1.bias", 32),
                matrix("decoder.layers.0.fc2.weight", 8, 32),
            ],
        ),
        (
            Family::Bloom,
            32,
            vec![
                matrix("transformer.word_embeddings.weight", 10, 8),
                bias("transformer.word_embeddings_layernorm.bias", 8),
                matrix("transformer.h.0.self_attention.query_key_value.weight", 24, 8),
                matrix("transformer.h.0.self_attention.dense.weight", 8, 8),
                matrix("transformer.h.0.mlp.dense_h_to_4h.weight", 32, 8),
                matrix("transformer.h.0.mlp.dense_4h_to_h.weight", 8, 32),
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
                matrix("model.layers.0.self_attn.o_proj.weight", 8, 8),
                matrix("model.layers.0.mlp.gate_proj.weight", 16, 8),
                matrix("model.layers.0.mlp.up_proj.weight", 16, 8),
                matrix("model.layers.0.mlp.down_proj.weight", 8, 16),
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
            let auto = measure_first(&files, &settings(granularity, Scheme::Auto));
            let fixed = measure_first(&files, &settings(granularity, Scheme::Always(chosen)));
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
        let table = measure_first(&files, &settings(Tensor, Scheme::Always(symmetry)));
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
    let errors = &measure_first(&files, &settings(Group(64), Scheme::Auto)).rows[0].errors;
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

    let dropped = map.iter().filter(|entry| !entry.contains("layers.1.mlp.up_proj"));
    let without = format!(r#"{{"weight_map": {{{}}}}}"#, dropped.cloned().collect::<Vec<_>>().join(","));
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
        (r#"{"weight_map": {"model.norm.weight": 1e400}}"#, "number out of range"),
        (&without, "tensor 'model.layers.1.mlp.up_proj.weight': it is in 'part-"),
        (r#"{"weight_map": {"a": "..safetensors"}}"#, "is not the name of"),
        (r#"{"weight_map": {"a": "part-0.safetensors\n"}}"#, "is not the name of"),
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
    let norm = with(&|parts| {
        let part = parts.iter_mut().find(|p| p.name == "model.norm.weight").unwrap();
        part.bytes[28..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    assert!(norm.contains("tensor 'model.norm.weight': element 7 is infinite"), "{norm}");
    let gap = with(&|parts| parts.retain(|p| !p.name.contains("layers.0.")));
    assert!(gap.contains("layer 0 has no tensors, but layer 1 has"), "{gap}");
    let integers = with(&|parts| parts.iter_mut().filter(|p| p.name == name).for_each(|p| p.dtype = "I32"));
    assert!(integers.contains(&format!("tensor '{name}': weights of type I32 are not read; convert")), "{integers}");
    let vectors = with(&|parts| parts.retain(|p| !p.name.contains("layers.1.") || p.shape.len() == 1));
    let lacking = "decoder.1 lacks the tensor 'model.layers.1.mlp.down_proj.weight' (and 6 more); give all files";
    assert!(vectors.contains(lacking), "{vectors}");
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

#[test]
fn a_layer_without_one_of_its_tensors_is_named() {
    for part in llama(3).iter().map(|p| &p.name).filter(|name| name.contains("layers.1.")) {
        let parts: Vec<Part> = llama(3).into_iter().filter(|p| p.name != *part).collect();
        let found = refused(folder(&[("model.safetensors", file(&parts))]).path());
        let message = format!("model.safetensors: decoder.1 lacks the tensor '{part}'; give all files of the model");
        assert!(found.contains(&message), "{found}");
    }
    let with = |keep: &dyn Fn(&Part) -> bool| {
        let parts: Vec<Part> = llama(4).into_iter().filter(|p| keep(p)).collect();
        refused(folder(&[("model.safetensors", file(&parts))]).path())
    };
    let number = |p: &Part| p.name.bytes().find(u8::is_ascii_digit);
    let is_mlp = |p: &Part| p.name.contains(".mlp.");
    let half = with(&|p| !is_mlp(p) && !p.name.contains("input_") || number(p) < Some(b'2'));
    assert!(half.contains("decoder.2 lacks the tensor 'model.layers.2.mlp.down_proj.weight' (and 3 more)"), "{half}");
    let nowhere = with(&|p| !p.name.contains("mlp.up_proj"));
    assert!(nowhere.contains("decoder.0 lacks the tensor 'model.layers.0.mlp.up_proj.weight'; give all"), "{nowhere}");
    let gap = with(&|p| number(p) != Some(b'2'));
    assert!(gap.contains("layer 2 has no tensors, but layer 3 has; give all files"), "{gap}");
    let tokens = with(&|p| !p.name.contains("embed_tokens"));
    assert!(tokens.contains("embedding lacks the tensor 'model.embed_tokens.weight'"), "{tokens}");

    let other = |change: &dyn Fn(&str) -> String| {
        let mut parts = llama(2);
        parts.iter_mut().for_each(|p| p.name = change(&p.name));
        refused(folder(&[("model.safetensors", file(&parts))]).path())
    };
    let gpt = other(&|name| name.replace("self_attn.", "attn.").replace("mlp.", "ffn."));
    assert!(gpt.contains("the weights of layers have unknown names; the first is 'model.layers.0."), "{gpt}");
    let packed = other(&|name| name.replace("up_proj.weight", "up_proj.qweight"));
    assert!(packed.ends_with("up_proj.weight'; give weights that are not quantised yet"), "{packed}");
    let experts = other(&|name| name.replace("mlp.up_proj", "mlp.experts.0.up_proj"));
    assert!(experts.contains("mixture-of-experts models are not modelled; give a dense model"), "{experts}");
    let zeros = other(&|name| name.replace("layers.1.", "layers.01."));
    assert!(zeros.contains("'01' is no number of a layer"), "{zeros}");
    let far = other(&|name| name.replace("layers.1.", "layers.10000."));
    assert!(far.contains("'10000' is no number of a layer"), "{far}");

    let opt = |left_out: &str| {
        let model = dftsp::scenario::preset::model("opt-350m").unwrap();
        let small = dftsp::scenario::Model {
            layers: 2,
            hidden_size: 8,
            heads: 2,
            kv_heads: 2,
            head_dim: 4,
            ffn_size: 16,
            ..model
        };
        let source = Synthetic::new(&small, 12, 6, 4, 1);
        let parts: Vec<Part> = source
            .tensors()
            .iter()
            .filter(|t| !t.name.contains(left_out))
            .map(|t| f32s(&t.name, &t.shape, &weights(1, t.elements() as usize)))
            .collect();
        folder(&[("model.safetensors", file(&parts))])
    };
    let whole = opt("nothing");
    let whole = Layers::of(&Checkpoint::open(whole.path()).unwrap(), None).unwrap();
    assert_eq!((whole.layers.len(), whole.others.len(), whole.tied()), (4, 0, true));
    for (left_out, message) in [
        ("project_in", "embedding lacks the tensor 'model.decoder.project_in.weight'"),
        ("project_out", "head lacks the tensor 'model.decoder.project_out.weight'"),
        ("project_", "embedding lacks the tensor 'model.decoder.project_in.weight'"),
        ("layers.1.fc2.weight", "decoder.1 lacks the tensor 'model.decoder.layers.1.fc2.weight'"),
        ("layers.0.fc1.bias", "decoder.0 lacks the tensor 'model.decoder.layers.0.fc1.bias'"),
    ] {
        let found = refused(opt(left_out).path());
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn files_that_are_not_all_of_a_model_are_refused() {
    let one = ("model-00001-of-00002.safetensors", file(&llama(1)));
    let found = refused(folder(&[one]).path());
    assert!(found.contains("by its name it is one of 2 files of a model, and not all"), "{found}");
    assert!(Checkpoint::open(folder(&[("model-00001-of-00001.safetensors", file(&llama(1)))]).path()).is_ok());
    // The same tensor in two files: the index says which, but both cannot be of the model.
    let parts = llama(1);
    let map: Vec<String> = parts.iter().map(|p| format!(r#""{}": "a.safetensors""#, p.name)).collect();
    let index = format!(r#"{{"weight_map": {{{}, "x": "b.safetensors"}}}}"#, map.join(","));
    let twice = [f32s("x", &[1], &[1.0]), f32s("model.norm.weight", &[8], &[1.0; 8])];
    let found = refused(
        folder(&[
            ("model.safetensors.index.json", index.into_bytes()),
            ("a.safetensors", file(&parts)),
            ("b.safetensors", file(&twice)),
        ])
        .path(),
    );
    let message = "tensor 'model.norm.weight': it is in 'b.safetensors' as well as in 'a.safetensors'";
    assert!(found.contains(message), "{found}");

    let tied = |json: &str| {
        let parts: Vec<Part> = llama(1).into_iter().filter(|p| p.name != "lm_head.weight").collect();
        let config = format!(
            r#"{{"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2,
                "intermediate_size": 16{json}}}"#
        );
        folder(&[("model.safetensors", file(&parts)), ("config.json", config.into_bytes())])
    };
    for json in ["", r#", "tie_word_embeddings": true"#] {
        let folder = tied(json);
        let files = Checkpoint::open(folder.path()).unwrap();
        assert!(Layers::of(&files, files.config().unwrap().as_ref()).unwrap().tied());
    }
    let found = refused(tied(r#", "tie_word_embeddings": false"#).path());
    assert!(found.contains("head lacks the tensor 'lm_head.weight'") && found.contains("config.json says"), "{found}");
}

#[test]
fn shapes_and_types_that_cannot_be_are_refused() {
    let with = |name: &str, dtype: &'static str, shape: &[u64], bytes: usize| {
        let mut parts = llama(2);
        let part = parts.iter_mut().find(|p| p.name.ends_with(name)).unwrap();
        *part = Part { name: part.name.clone(), dtype, shape: shape.to_vec(), bytes: vec![0; bytes] };
        let found = refused(folder(&[("model.safetensors", file(&parts))]).path());
        assert!(found.contains(name), "{found}");
        found
    };
    for (name, shape, message) in [
        ("embed_tokens.weight", &[96][..], "its shape [96] is not that of a matrix; give rows × columns"),
        ("embed_tokens.weight", &[0, 8], "its shape [0, 8] has no elements"),
        ("embed_tokens.weight", &[12, 4], "its shape [12, 4] does not fit the model: 8 columns would"),
        ("embed_tokens.weight", &[1, 8], "is not that of a matrix"),
        ("lm_head.weight", &[12, 9], "8 columns would"),
        ("lm_head.weight", &[96], "is not that of a matrix"),
        ("layers.0.self_attn.q_proj.weight", &[8, 2, 4], "is not that of a matrix"),
        ("layers.0.self_attn.q_proj.weight", &[0, 8], "has no elements"),
        ("layers.1.self_attn.q_proj.weight", &[8, 4], "8 columns would"),
        ("layers.1.self_attn.v_proj.weight", &[5, 8], "its shape [5, 8] does not fit the model: 4 rows would"),
        ("layers.1.self_attn.o_proj.weight", &[8, 9], "8 columns would"),
        ("layers.1.mlp.up_proj.weight", &[8, 16], "16 rows would"),
        ("layers.1.mlp.down_proj.weight", &[16, 8], "8 rows would"),
        ("layers.1.input_layernorm.weight", &[0], "its shape [0] has no elements"),
    ] {
        let found = with(name, "F32", shape, 4 * shape.iter().product::<u64>() as usize);
        assert!(found.contains(message), "{found}");
    }
    for (dtype, size) in [("I64", 8), ("BOOL", 1), ("F8_E4M3", 1), ("F8_E5M2", 1), ("F64", 8), ("U8", 1)] {
        for (name, shape) in [
            ("embed_tokens.weight", &[12, 8][..]),
            ("layers.1.input_layernorm.weight", &[8]),
            ("layers.1.mlp.up_proj.weight", &[16, 8]),
        ] {
            let found = with(name, dtype, shape, size * shape.iter().product::<u64>() as usize);
            assert!(found.contains(&format!("weights of type {dtype} are not read; convert them to F32")), "{found}");
        }
    }
    let plus = |part: Part| {
        let parts: Vec<Part> = llama(1).into_iter().chain([part]).collect();
        folder(&[("model.safetensors", file(&parts))])
    };
    let twice = refused(plus(f32s("layers.0.mlp.up_proj.weight", &[16, 8], &[0.0; 128])).path());
    assert!(twice.contains("to decoder.0 it is the same as"), "{twice}");
    let bias = refused(plus(f32s("model.layers.0.mlp.up_proj.bias", &[15], &[0.0; 15])).path());
    assert!(bias.contains("its shape [15] is not that of a bias of 16 rows"), "{bias}");
    // Tables that are no weights belong to no layer, whatever their type.
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    let buffer = plus(Part { dtype: "I64", bytes: vec![0; 16], ..f32s(name, &[2], &[]) });
    let found = Layers::of(&Checkpoint::open(buffer.path()).unwrap(), None).unwrap();
    assert_eq!((found.others, found.layers[1].parameters), (vec![name.to_string()], 592));
}

#[test]
fn pruned_blocks_may_be_of_different_sizes() {
    let mut parts = llama(2);
    for part in parts.iter_mut().filter(|p| p.name.contains("layers.1.")) {
        for (name, shape) in
            [("q_proj", [4, 8]), ("o_proj", [8, 4]), ("gate_proj", [6, 8]), ("up_proj", [6, 8]), ("down_proj", [8, 6])]
        {
            if part.name.contains(name) {
                *part = f32s(&part.name, &shape, &weights(4, (shape[0] * shape[1]) as usize));
            }
        }
    }
    let folder = folder(&[("model.safetensors", file(&parts))]);
    let found = Layers::of(&Checkpoint::open(folder.path()).unwrap(), None).unwrap();
    let sizes: Vec<u64> = found.layers.iter().map(|l| l.parameters).collect();
    assert_eq!(sizes, [96, 592, 2 * 32 + 2 * 32 + 3 * 48 + 16, 104]);
}

#[test]
fn every_preset_is_whole() {
    for name in dftsp::scenario::preset::model_names() {
        let model = dftsp::scenario::preset::model(name).unwrap();
        let found = Layers::of(&Synthetic::named(name, 1).unwrap(), None).unwrap();
        assert_eq!((found.layers.len(), found.others.len()), (model.layers as usize + 2, 0), "{name}");
        let kv = 4 * u64::from(model.kv_heads) * u64::from(model.head_dim);
        assert_eq!(
            (found.layers[1].kv_bytes_per_token, found.family == Family::Llama),
            (kv, model.gated_ffn),
            "{name}"
        );
    }
}

#[test]
fn a_vision_tower_does_not_change_the_family() {
    let tower = f32s("visual.blocks.0.mlp.fc1.weight", &[8, 8], &[0.5; 64]);
    let parts: Vec<Part> = [tower].into_iter().chain(llama(1)).collect();
    let folder = folder(&[("model.safetensors", file(&parts))]);
    let found = Layers::of(&Checkpoint::open(folder.path()).unwrap(), None).unwrap();
    assert_eq!((found.family, found.others.len()), (Family::Llama, 1));
}

/// As many scales as the quantiser in memory makes grids.
#[test]
fn scales_and_offsets_are_counted_unit_by_unit() {
    let model = dftsp::scenario::preset::model("llama-3.1-8b").unwrap();
    let small = dftsp::scenario::Model {
        layers: 2,
        hidden_size: 200,
        heads: 4,
        kv_heads: 2,
        head_dim: 50,
        ffn_size: 330,
        ..model
    };
    let tensors = Synthetic::new(&small, 30, 0, 0, 1);
    for (dtype, exact) in [("F32", 32), ("BF16", 16)] {
        let parts: Vec<Part> = tensors
            .tensors()
            .iter()
            .map(|t| {
                let values = weights(2, t.elements() as usize);
                if dtype == "F32" { f32s(&t.name, &t.shape, &values) } else { bf16s(&t.name, &t.shape, &values) }
            })
            .collect();
        let folder = folder(&[("model.safetensors", file(&parts))]);
        let files = Checkpoint::open(folder.path()).unwrap();
        let layers = Layers::of(&files, None).unwrap();
        for granularity in [Tensor, Channel, Group(32), Group(128)] {
            for (symmetry, each) in [(Symmetric, 16), (Asymmetric, 32)] {
                let table = measure(&files, &settings(granularity, Scheme::Always(symmetry)));
                for (row, layer) in table.rows.iter().zip(&layers.layers) {
                    let grids = |&i: &usize| {
                        let t = &files.tensors()[i];
                        let values = vec![1.0; t.elements() as usize];
                        quantize(&values, t.columns() as usize, 2, granularity, symmetry).unwrap().grids().len() as u64
                    };
                    let all = each * layer.matrices.iter().map(grids).sum::<u64>();
                    let wanted = BITS.map(|bits| if bits < exact { all } else { 0 });
                    assert_eq!(row.overhead_bits, wanted, "{granularity:?} {symmetry:?} {}", row.layer);
                }
            }
        }
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
    let by = |x: f32| {
        let inputs = calibration(&[f32s("decoder.0", &[1, 8], &[x; 8]), identity("head", 8)]);
        Table::measure(&files, &layers, &settings, Some(&inputs))
    };
    // The size of all inputs together changes nothing, even where f32 would not hold the outputs.
    let one = by(1.0).unwrap();
    for x in [1e-40, 1e-20, 1e20, f32::MAX] {
        for (a, b) in one.rows[1].errors.iter().zip(&by(x).unwrap().rows[1].errors) {
            assert!((a - b).abs() <= 1e-4 * a, "{x}: {a} and {b}");
        }
    }
    let zero = by(0.0).unwrap_err().to_string();
    assert!(zero.contains("decoder.0: its outputs on the activations are all 0, or too small"), "{zero}");
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
