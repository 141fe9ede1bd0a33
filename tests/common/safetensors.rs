//! Writes safetensors files, good and bad.

/// A tensor: name, type, shape, bytes.
pub struct Part {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<u64>,
    pub bytes: Vec<u8>,
}

/// A matrix or vector of 32-bit floats.
pub fn f32s(name: &str, shape: &[u64], values: &[f32]) -> Part {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    Part { name: name.to_string(), dtype: "F32", shape: shape.to_vec(), bytes }
}

/// The same as the upper halves of 32-bit floats.
pub fn bf16s(name: &str, shape: &[u64], values: &[f32]) -> Part {
    let bytes = values.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect();
    Part { dtype: "BF16", bytes, ..f32s(name, shape, &[]) }
}

/// Header and data of a file.
pub fn file(parts: &[Part]) -> Vec<u8> {
    let mut at = 0;
    let entries: Vec<String> = parts
        .iter()
        .map(|p| {
            let begin = at;
            at += p.bytes.len();
            format!(r#""{}":{{"dtype":"{}","shape":{:?},"data_offsets":[{begin},{at}]}}"#, p.name, p.dtype, p.shape)
        })
        .collect();
    let header = format!(r#"{{"__metadata__":{{"format":"pt"}},{}}}"#, entries.join(","));
    let data: Vec<u8> = parts.iter().flat_map(|p| p.bytes.iter().copied()).collect();
    with_header(&header, &data)
}

/// A file with this header, whatever it says.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Numbers that look like weights: the sum of four uniform ones.
pub fn weights(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut unit = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..n).map(|_| 0.05 * (unit() + unit() + unit() + unit())).collect()
}

/// A small Llama: hidden size 8, two key-value heads of four, feed-forward 16, 12 tokens.
pub fn llama(layers: u32) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |name: String, shape: &[u64]| {
        let n = shape.iter().product::<u64>() as usize;
        let seed = parts.len() as u64 + 7;
        parts.push(f32s(&name, shape, &if shape.len() == 1 { vec![1.0; n] } else { weights(seed, n) }));
    };
    add("model.embed_tokens.weight".to_string(), &[12, 8]);
    for layer in 0..layers {
        for (name, rows, columns) in [
            ("self_attn.q_proj", 8, 8),
            ("self_attn.k_proj", 4, 8),
            ("self_attn.v_proj", 4, 8),
            ("self_attn.o_proj", 8, 8),
            ("mlp.gate_proj", 16, 8),
            ("mlp.up_proj", 16, 8),
            ("mlp.down_proj", 8, 16),
        ] {
            add(format!("model.layers.{layer}.{name}.weight"), &[rows, columns]);
        }
        add(format!("model.layers.{layer}.input_layernorm.weight"), &[8]);
        add(format!("model.layers.{layer}.post_attention_layernorm.weight"), &[8]);
    }
    add("model.norm.weight".to_string(), &[8]);
    add("lm_head.weight".to_string(), &[12, 8]);
    parts
}
