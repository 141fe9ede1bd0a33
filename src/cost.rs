//! The cost model of the paper's section II: from tokens, watts and bytes to shares of each resource.
//!
//! In: a [`Scenario`] and lengths. Out: integer bytes and FLOP of the transformer (exact), and the share ρ of a band
//! (float; floats stop at [`crate::instance`], where they are rounded against the request). Logarithms and powers come
//! from `libm`, so the bits are the same on every machine.
//!
//! Grouped-query attention and gated feed-forward layers are counted with q = n_h·d_h the width of the queries and k =
//! n_kv·d_h that of the keys and values. With q = k = d_m and two feed-forward matrices every formula is the paper's.

use crate::scenario::{Model, Scenario};

/// Bytes and FLOP of one model, as exact integers.
///
/// Within [`crate::limits`] one request costs less than 2·10²⁸ FLOP and 2³⁰ of them less than 2¹²⁶, so sums fit in 128
/// bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transformer {
    layers: u128,
    /// q, the width of the queries.
    query_width: u128,
    /// k, the width of the keys and of the values.
    kv_width: u128,
    /// FLOP of all projections and the feed-forward layer, per layer and token.
    linear_flops: u128,
    /// Bytes of all matrices at 16 bits, per layer.
    layer_bytes: u128,
}

impl Transformer {
    /// The costs of `model`.
    pub fn new(model: &Model) -> Self {
        let (d, f) = (u128::from(model.hidden_size), u128::from(model.ffn_size));
        let q = u128::from(model.heads) * u128::from(model.head_dim);
        let k = u128::from(model.kv_heads) * u128::from(model.head_dim);
        let ffn_matrices = if model.gated_ffn { 3 } else { 2 };
        // Parameters of W_Q, W_K, W_V, W_O and the feed-forward matrices. A parameter takes 2 bytes and 2 FLOP per
        // token: the paper's 8 d_m d_h n_h + 4 d_m d_f bytes, and 6 d_m² + 2 d_m² + 4 d_m d_f FLOP.
        let parameters = 2 * d * q + 2 * d * k + ffn_matrices * d * f;
        Transformer {
            layers: u128::from(model.layers),
            query_width: q,
            kv_width: k,
            linear_flops: 2 * parameters,
            layer_bytes: 2 * parameters,
        }
    }

    /// m1: bytes of the weights at 16 bits.
    pub fn weight_bytes(&self) -> u128 {
        self.layers * self.layer_bytes
    }

    /// Bytes of the KV cache per token at 16 bits: 4 L d_m in the paper.
    pub fn kv_bytes_per_token(&self) -> u128 {
        4 * self.layers * self.kv_width
    }

    /// FLOP of the initial stage for a prompt of s' tokens: L (6 s' d_m² + 4 s'² d_m + 2 s' d_m² + 4 s' d_m d_f).
    pub fn prefill_flops(&self, prompt: u32) -> u128 {
        let s = u128::from(prompt);
        self.layers * (s * self.linear_flops + 4 * s * s * self.query_width)
    }

    /// FLOP of the auto-regressive stage: L (n−1) (6 d_m² + 4 (s' + n/2) d_m + 2 d_m² + 4 d_m d_f).
    ///
    /// `output` is at least 1.
    pub fn decode_flops(&self, prompt: u32, output: u32) -> u128 {
        let (s, n) = (u128::from(prompt), u128::from(output));
        // 4 (n−1) (n/2) = 2 (n−1) n is whole, so nothing is rounded.
        self.layers * ((n - 1) * (self.linear_flops + 4 * s * self.query_width) + 2 * (n - 1) * n * self.query_width)
    }

    /// FLOP of a batch of `count` requests that are all padded to `prompt`, from Σ n_i and Σ n_i (n_i − 1).
    pub fn batch_flops(&self, prompt: u32, count: u64, outputs: u64, pairs: u128) -> u128 {
        let (s, count) = (u128::from(prompt), u128::from(count));
        let tokens = u128::from(outputs) - count;
        let prefill = count * (s * self.linear_flops + 4 * s * s * self.query_width);
        let decode = tokens * (self.linear_flops + 4 * s * self.query_width) + 2 * pairs * self.query_width;
        self.layers * (prefill + decode)
    }

    /// FLOP of one request: both stages.
    pub fn flops(&self, prompt: u32, output: u32) -> u128 {
        self.prefill_flops(prompt) + self.decode_flops(prompt, output)
    }
}

/// One direction of the radio: slot, band and noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    slot_s: f64,
    bandwidth_hz: f64,
    noise_w_per_hz: f64,
    bits_per_token: f64,
}

/// Watts of a power in dBm.
pub fn watts(dbm: f64) -> f64 {
    libm::pow(10.0, (dbm - 30.0) / 10.0)
}

impl Link {
    /// The uplink: T_U and B^U.
    pub fn uplink(s: &Scenario) -> Self {
        Link::new(s, s.epoch.uplink_slot_s, s.radio.uplink_bandwidth_hz)
    }

    /// The downlink: T_D and B^D.
    pub fn downlink(s: &Scenario) -> Self {
        Link::new(s, s.epoch.downlink_slot_s, s.radio.downlink_bandwidth_hz)
    }

    fn new(s: &Scenario, slot_s: f64, bandwidth_hz: f64) -> Self {
        let noise_w_per_hz = watts(s.radio.noise_density_dbm_per_hz);
        Link { slot_s, bandwidth_hz, noise_w_per_hz, bits_per_token: f64::from(s.radio.bits_per_token) }
    }

    /// The same link with another band.
    #[must_use]
    pub fn with_bandwidth(self, bandwidth_hz: f64) -> Self {
        Link { bandwidth_hz, ..self }
    }

    /// log2(1 + p h²/N0), bit/s/Hz. N0 is the noise power in the whole band.
    pub fn spectral_efficiency(&self, power_w: f64, gain: f64) -> f64 {
        let snr = power_w * gain / (self.noise_w_per_hz * self.bandwidth_hz);
        libm::log1p(snr) / std::f64::consts::LN_2
    }

    /// ρ: the share of the band that carries `tokens` within the slot (1a, 1b).
    pub fn share(&self, tokens: u32, power_w: f64, gain: f64) -> f64 {
        let bits = f64::from(tokens) * self.bits_per_token;
        bits / (self.slot_s * self.bandwidth_hz * self.spectral_efficiency(power_w, gain))
    }

    /// The narrowest band, up to `limit_hz`, that carries `tokens` alone (ρ ≤ 1), to a relative 10⁻¹²; `None` if the
    /// noise that a wider band lets in makes every band up to the limit too narrow.
    pub fn bandwidth_for(&self, tokens: u32, power_w: f64, gain: f64, limit_hz: f64) -> Option<f64> {
        // B log2(1 + c/B) grows with B, so bisection finds the root.
        // With room for what the conversion to integers adds to a share.
        let fits = |hz: f64| self.with_bandwidth(hz).share(tokens, power_w, gain) * (1.0 + 1e-9) <= 1.0;
        let (mut low, mut high) = (self.bandwidth_hz, self.bandwidth_hz);
        while !fits(high) {
            if high >= limit_hz {
                return None;
            }
            low = high;
            high = (high * 2.0).min(limit_hz);
        }
        while high - low > high * 1e-12 {
            let middle = low + (high - low) / 2.0;
            if fits(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::preset;

    /// The paper's formulas, literally, in floats.
    fn paper_prefill(m: &Model, s: f64) -> f64 {
        let (l, d, f) = (f64::from(m.layers), f64::from(m.hidden_size), f64::from(m.ffn_size));
        l * (6.0 * s * d * d + 4.0 * s * s * d + 2.0 * s * d * d + 4.0 * s * d * f)
    }

    fn paper_decode(m: &Model, s: f64, n: f64) -> f64 {
        let (l, d, f) = (f64::from(m.layers), f64::from(m.hidden_size), f64::from(m.ffn_size));
        l * (n - 1.0) * (6.0 * d * d + (4.0 * (s + n / 2.0) * d + 2.0 * d * d) + 4.0 * d * f)
    }

    #[test]
    fn the_papers_models_cost_what_the_paper_says() {
        for name in ["bloom-3b", "bloom-7.1b", "opt-13b"] {
            let m = preset::model(name).unwrap();
            let t = Transformer::new(&m);
            let (l, d, f) = (u128::from(m.layers), u128::from(m.hidden_size), u128::from(m.ffn_size));
            let (heads, head) = (u128::from(m.heads), u128::from(m.head_dim));
            assert_eq!(t.weight_bytes(), l * (8 * d * head * heads + 4 * d * f));
            assert_eq!(t.kv_bytes_per_token(), 4 * l * d);
            for (s, n) in [(1, 1), (512, 128), (128, 512), (7, 3), (100_000, 2)] {
                let close = |a: u128, b: f64| (a as f64 - b).abs() <= b.abs() * 1e-14;
                assert!(close(t.prefill_flops(s), paper_prefill(&m, f64::from(s))));
                assert!(close(t.decode_flops(s, n), paper_decode(&m, f64::from(s), f64::from(n))));
            }
        }
    }

    #[test]
    fn weights_of_known_models_are_near_their_names() {
        // Without embeddings, which the paper does not count: billions of parameters.
        for (name, low, high) in [
            ("bloom-3b", 2.2, 3.1),
            ("opt-13b", 12.0, 13.1),
            ("opt-30b", 29.0, 30.1),
            ("opt-66b", 65.0, 66.1),
            ("bloom-176b", 172.0, 176.3),
            ("llama-3.1-8b", 6.9, 7.1),
            ("llama-3.1-70b", 68.0, 70.6),
            ("qwen2.5-7b", 6.4, 6.7),
            ("qwen2.5-32b", 31.0, 32.8),
            ("qwen2.5-72b", 70.0, 72.8),
        ] {
            let billions = Transformer::new(&preset::model(name).unwrap()).weight_bytes() as f64 / 2e9;
            assert!((low..high).contains(&billions), "{name}: {billions}");
        }
    }

    #[test]
    fn grouped_queries_shrink_the_cache_and_the_projections_only() {
        let full = Model { kv_heads: 32, ..preset::model("llama-3.1-8b").unwrap() };
        let (a, b) = (Transformer::new(&full), Transformer::new(&Model { kv_heads: 8, ..full.clone() }));
        assert_eq!(a.kv_bytes_per_token(), 4 * b.kv_bytes_per_token());
        let per_layer_and_token = 2 * 2 * 4096 * (4096 - 1024);
        assert_eq!(a.prefill_flops(3) - b.prefill_flops(3), 3 * 32 * per_layer_and_token);
    }

    #[test]
    fn a_batch_costs_the_sum_of_its_requests() {
        let t = Transformer::new(&preset::model("qwen2.5-7b").unwrap());
        let outputs = [1u32, 7, 512, 100_000];
        let sum: u128 = outputs.iter().map(|&n| t.flops(300, n)).sum();
        let pairs = outputs.iter().map(|&n| u128::from(n) * u128::from(n - 1)).sum();
        assert_eq!(t.batch_flops(300, 4, outputs.iter().map(|&n| u64::from(n)).sum(), pairs), sum);
        assert_eq!(t.batch_flops(300, 0, 0, 0), 0);
    }

    #[test]
    fn one_token_has_no_auto_regressive_stage() {
        let t = Transformer::new(&preset::model("bloom-3b").unwrap());
        assert_eq!(t.decode_flops(512, 1), 0);
    }

    #[test]
    fn the_papers_radio_is_nearly_idle() {
        // 121 dB of transmit signal over noise, −30 dB of path: 91 dB, 30 bit/s/Hz.
        let s = Scenario::paper();
        let up = Link::uplink(&s);
        let efficiency = up.spectral_efficiency(watts(20.0), 1e-3);
        assert!((efficiency - 30.2).abs() < 0.1, "{efficiency}");
        let share = up.share(512, watts(20.0), 1e-3);
        assert!((share - 512.0 * 16.0 / (0.25 * 20e6 * efficiency)).abs() < 1e-18);
    }

    #[test]
    fn the_band_found_is_just_wide_enough() {
        let mut s = Scenario::paper();
        s.radio.uplink_bandwidth_hz = 100.0;
        let up = Link::uplink(&s);
        let (power, gain) = (watts(20.0), 1e-15);
        let band = up.bandwidth_for(512, power, gain, 1e15).unwrap();
        assert!(up.with_bandwidth(band).share(512, power, gain) <= 1.0);
        assert!(up.with_bandwidth(band * (1.0 - 1e-6)).share(512, power, gain) * (1.0 + 1e-9) > 1.0);
        assert_eq!(up.bandwidth_for(512, power, 1e-25, 1e15), None, "below the noise no band is wide enough");
    }

    #[test]
    fn the_costliest_request_within_the_limits_leaves_room_for_sums() {
        use crate::limits;
        let m = Model {
            name: String::new(),
            layers: limits::LAYERS.max as u32,
            hidden_size: limits::DIMENSION.max as u32,
            heads: limits::HEADS.max as u32,
            kv_heads: limits::HEADS.max as u32,
            head_dim: limits::HEADS.max as u32,
            ffn_size: limits::DIMENSION.max as u32,
            gated_ffn: true,
        };
        let tokens = limits::TOKENS.max as u32;
        let flops = Transformer::new(&m).flops(tokens, tokens);
        assert!(flops < 20_000_000_000_000_000_000_000_000_000 && flops.checked_mul(1 << 30).unwrap() < 1 << 126);
    }
}
