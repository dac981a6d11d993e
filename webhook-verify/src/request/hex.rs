//! Hexadecimal numbers in escapes. They are not secret, so a table may be used.

/// The values of digits, and 255 for other bytes.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// Returns the number with these digits.
pub(super) fn number<const LEN: usize>(digits: [u8; LEN]) -> Option<u32> {
    let values = digits.map(|digit| DIGITS[usize::from(digit)]);
    let are_digits = values.iter().fold(0, |all, value| all | value) < 16;
    are_digits.then(|| values.iter().fold(0, |number, value| number << 4 | u32::from(*value)))
}
