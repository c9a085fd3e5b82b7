//! Logistic function and hyperbolic tangent of 16-bit numbers, as recurrent layers use them.
//!
//! One table serves both, tanh x being 2 · logistic 2x − 1: 256 values of the logistic function at steps of 1/24, with
//! 16 fractional bits, and a straight line between two. Source: TensorFlow Lite, the 16-bit functions of
//! `reference_integer_ops` (`logistic.h`, `tanh.h`, the table in `common.h`), to the bit; CMSIS-NN has the same table.

/// logistic(i / 24) · 2¹⁶, as TensorFlow Lite has it: up to 1.2 from the exact value.
#[rustfmt::skip]
const LOGISTIC: [u16; 256] = [
    32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841, 39498, 40149, 40794, 41432, 42064, 42688,
    43304, 43912, 44511, 45102, 45683, 46255, 46817, 47369, 47911, 48443, 48964, 49475, 49975, 50464, 50942, 51409,
    51865, 52311, 52745, 53169, 53581, 53983, 54374, 54755, 55125, 55485, 55834, 56174, 56503, 56823, 57133, 57433,
    57724, 58007, 58280, 58544, 58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370, 60565, 60753, 60935, 61110,
    61279, 61441, 61599, 61750, 61896, 62036, 62172, 62302, 62428, 62549, 62666, 62778, 62886, 62990, 63090, 63186,
    63279, 63368, 63454, 63536, 63615, 63691, 63765, 63835, 63903, 63968, 64030, 64090, 64148, 64204, 64257, 64308,
    64357, 64405, 64450, 64494, 64536, 64576, 64614, 64652, 64687, 64721, 64754, 64786, 64816, 64845, 64873, 64900,
    64926, 64950, 64974, 64997, 65019, 65039, 65060, 65079, 65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208,
    65221, 65234, 65246, 65258, 65269, 65280, 65291, 65301, 65310, 65319, 65328, 65337, 65345, 65352, 65360, 65367,
    65374, 65381, 65387, 65393, 65399, 65404, 65410, 65415, 65420, 65425, 65429, 65433, 65438, 65442, 65445, 65449,
    65453, 65456, 65459, 65462, 65465, 65468, 65471, 65474, 65476, 65479, 65481, 65483, 65485, 65488, 65489, 65491,
    65493, 65495, 65497, 65498, 65500, 65501, 65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511, 65512, 65513,
    65514, 65515, 65516, 65517, 65517, 65518, 65519, 65520, 65520, 65521, 65522, 65522, 65523, 65523, 65524, 65524,
    65525, 65525, 65526, 65526, 65526, 65527, 65527, 65528, 65528, 65528, 65529, 65529, 65529, 65529, 65530, 65530,
    65530, 65530, 65531, 65531, 65531, 65531, 65531, 65532, 65532, 65532, 65532, 65532, 65532, 65533, 65533, 65533,
    65533, 65533, 65533, 65533, 65533, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65535,
];

/// The table between its entries: `at` has `bits` bits below the entry's number. 2¹⁶ · 2^`bits` times the logistic
/// function, at most 2²⁵; past the table its limit.
fn interpolate(at: u32, bits: u32, limit: u32) -> i32 {
    // At most 2^23 for an argument of up to 32 bits and 9 or 8 of them below.
    let entry = (at >> bits) as usize;
    let value = match (LOGISTIC.get(entry), LOGISTIC.get(entry.saturating_add(1))) {
        (Some(&low), Some(&high)) => {
            let (low, high) = (u32::from(low), u32::from(high));
            let part = at & ((1 << bits) - 1);
            // The table rises.
            (low << bits) + part * high.saturating_sub(low)
        }
        _ => limit,
    };
    // At most 65,535 · 2^9.
    value as i32
}

/// Logistic function of a number with 3 integer and 12 fractional bits, with 15 fractional bits.
pub fn logistic_i16(x: i16) -> i16 {
    // 3/4 of 2^-12 · 2^-9 is a step of the table.
    let at = i32::from(x) * 3;
    let value = interpolate(at.unsigned_abs(), 9, 0x7FFF << 10);
    let value = if at >= 0 {
        value + (1 << 9)
    } else {
        (1 << 25) - value + (1 << 9) - 1
    };
    // 0 to 32,767.
    (value >> 10) as i16
}

/// Hyperbolic tangent of x · 2^`exponent`, with 15 fractional bits. An exponent outside of −28 to −9 counts as the
/// nearest of these.
pub fn tanh_i16(x: i16, exponent: i32) -> i16 {
    let shift = exponent.clamp(-28, -9) + 12;
    let x = i32::from(x) * 3;
    let at = if shift >= 0 {
        x << shift
    } else {
        (x + (1 << (-shift - 1))) >> -shift
    };
    let value = interpolate(at.unsigned_abs(), 8, 0xFFFF << 8);
    let value = if at >= 0 {
        value - (1 << 23) + (1 << 7)
    } else {
        (1 << 23) - value + (1 << 7) - 1
    };
    // −32,768 to 32,767.
    (value >> 8) as i16
}

/// Both functions as straight lines, for loops that take few instructions.
///
/// With 9 bits below the number of an interval, t = 3x for the logistic function and t = 2 · `at` of the hyperbolic
/// tangent, held to 18 bits, v = `starts`\[t >> 9\] + t · `slopes`\[t >> 9\] gives the one as (v + 2²⁴ + 2⁸) >> 10 and
/// the other as v >> 9. The intervals count from −256.
#[cfg(any(test, mote_armv7em, mote_armv7m, mote_armv6m))]
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) starts: [i32; 512],
    pub(crate) slopes: [u16; 512],
}

/// The intervals' lines.
#[cfg(any(test, mote_armv7em, mote_armv7m, mote_armv6m))]
pub(crate) static LINES: Lines = lines();

#[cfg(any(test, mote_armv7em, mote_armv7m, mote_armv6m))]
#[expect(clippy::indexing_slicing, reason = "computed when it is compiled")]
const fn lines() -> Lines {
    let (mut starts, mut slopes) = ([0; 512], [0; 512]);
    let mut entry = 0;
    while entry < 256 {
        // Past the last entry the functions stand still.
        let next = if entry == 255 { 255 } else { entry + 1 };
        let (low, high) = (LOGISTIC[entry] as i32, LOGISTIC[next] as i32);
        let slope = high - low;
        let start = (low << 9) - ((entry as i32) << 9) * slope - (1 << 24);
        starts[256 + entry] = start + 256;
        // Below zero the same lines, turned about 0; they round the other way.
        starts[255 - entry] = 255 - start;
        // The table rises by less than 2^10.
        (slopes[256 + entry], slopes[255 - entry]) = (slope as u16, slope as u16);
        entry += 1;
    }
    Lines { starts, slopes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(t: i32) -> i32 {
        let interval = (256 + (t >> 9)) as usize;
        LINES.starts[interval] + t * i32::from(LINES.slopes[interval])
    }

    #[test]
    fn the_lines_are_the_functions() {
        for x in i16::MIN..=i16::MAX {
            let value = (line(3 * i32::from(x)) + (1 << 24) + 256) >> 10;
            assert_eq!(value, i32::from(logistic_i16(x)), "{x}");
            for exponent in -28..=-9 {
                let product = i64::from(x) * (3 << (28 + exponent));
                // Of the product with x in the upper half, the upper word, rounded.
                let at = ((product + (1 << 15)) >> 16) as i32;
                let value = line((2 * at).clamp(-131_072, 131_071)) >> 9;
                assert_eq!(value, i32::from(tanh_i16(x, exponent)), "{x} {exponent}");
            }
        }
    }

    fn logistic(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn the_table_is_the_function() {
        for (i, &value) in LOGISTIC.iter().enumerate() {
            let error = f64::from(value) - 65536.0 * logistic(i as f64 / 24.0);
            assert!((-0.5..1.2).contains(&error), "entry {i}: {error}");
        }
    }

    /// Every 16-bit number. The chord errs by (1/24)² / 8 · 0.0963 = 0.7 · 2⁻¹⁵, the table by 0.6, the rounding by 0.5;
    /// tanh has twice the error of the table and of the chord.
    #[test]
    fn all_numbers_are_within_their_bound() {
        let mut worst = [0.0f64; 2];
        for x in i16::MIN..=i16::MAX {
            let real = f64::from(x) / 4096.0;
            let error = f64::from(logistic_i16(x)) / 32768.0 - logistic(real);
            worst[0] = worst[0].max(error.abs() * 32768.0);
            for exponent in [-28, -16, -15, -13, -12, -11, -9] {
                let real = f64::from(x) * f64::from(exponent).exp2();
                let error = f64::from(tanh_i16(x, exponent)) / 32768.0 - real.tanh();
                let step = if exponent < -12 { 0.34 * 8.0 } else { 0.0 };
                worst[1] = worst[1].max(error.abs() * 32768.0 - step);
            }
        }
        assert!(worst[0] < 1.8 && worst[1] < 3.3, "{worst:?}");
    }

    #[test]
    fn both_are_symmetric_and_rise() {
        for x in 1..=i16::MAX {
            assert!(logistic_i16(x) >= logistic_i16(x - 1));
            assert!((i32::from(logistic_i16(x)) + i32::from(logistic_i16(-x)) - 32768).abs() <= 1);
            let tanh = tanh_i16(x, -12);
            assert!(tanh >= tanh_i16(x - 1, -12));
            assert!((i32::from(tanh) + i32::from(tanh_i16(-x, -12))).abs() <= 1);
        }
        assert_eq!((logistic_i16(0), tanh_i16(0, -12)), (16384, 0));
    }
}
