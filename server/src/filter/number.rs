// SPDX-License-Identifier: Apache-2.0
//! Texts as doubles, by the rules of Java's `Double.valueOf`: surrounding blanks, a suffix `d` or `f`, `NaN`, `Infinity`
//! and hexadecimal floats are allowed.

/// The number, `None` if the text is none.
pub(super) fn double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let (is_negative, number) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let magnitude = match number {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        _ => {
            let number = number.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(number);
            match number.strip_prefix("0x").or(number.strip_prefix("0X")) {
                Some(digits) => hexadecimal(digits)?,
                None => decimal(number)?,
            }
        }
    };
    Some(if is_negative { -magnitude } else { magnitude })
}

fn decimal(number: &str) -> Option<f64> {
    // Rust also takes names such as "inf", and a second sign.
    let is_number = number.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && number.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    number.parse().ok().filter(|_| is_number)
}

/// `1.8p3`: hexadecimal digits with a mandatory binary exponent.
fn hexadecimal(number: &str) -> Option<f64> {
    let (digits, exponent) = number.split_once(['p', 'P'])?;
    let mut exponent = exponent_of(exponent)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut mantissa = 0_u64;
    for (digit, is_fraction) in whole
        .chars()
        .map(|digit| (digit, false))
        .chain(fraction.chars().map(|digit| (digit, true)))
    {
        let digit = digit.to_digit(16)?;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            exponent -= if is_fraction { 4 } else { 0 };
        } else {
            // Of digits that do not fit it only matters for rounding whether they are zero.
            mantissa |= u64::from(digit != 0);
            exponent += if is_fraction { 0 } else { 4 };
        }
    }
    // In two steps, as the power of a subnormal number alone would be zero.
    let half = (exponent / 2).clamp(-2_000, 2_000);
    let rest = (exponent - exponent / 2).clamp(-2_000, 2_000);
    Some(scale(scale(mantissa as f64, half), rest))
}

fn scale(mut number: f64, mut exponent: i32) -> f64 {
    while exponent != 0 {
        let step = exponent.clamp(-1_000, 1_000);
        number *= 2_f64.powi(step);
        exponent -= step;
    }
    number
}

/// The exponent, cut to what makes any mantissa zero or infinite.
fn exponent_of(text: &str) -> Option<i32> {
    let (is_negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse().unwrap_or(1_000_000_i32).min(1_000_000);
    Some(if is_negative { -magnitude } else { magnitude })
}
