//! Java serialization of exceptions, the only form of a failure that Flink's clients read.

/// The end of the data that a class adds to the stream.
const END_OF_BLOCK: u8 = 0x78;
/// The maximum length of a text in a stream, in bytes.
const MAX_TEXT_BYTES: usize = u16::MAX as usize;

/// Returns the stream of an `org.apache.flink.util.SerializedThrowable`.
///
/// The class is the same in all versions. Omitted fields are `null`.
pub(crate) fn serialized_throwable(class: &str, message: &str, stack_trace: &str) -> Vec<u8> {
    const MAGIC_AND_VERSION: [u8; 4] = [0xac, 0xed, 0, 5];
    const OBJECT: u8 = 0x73;
    const NULL: u8 = 0x70;
    const SERIALIZABLE: u8 = 2;
    const WITH_WRITE_METHOD: u8 = 3;
    let mut stream = MAGIC_AND_VERSION.to_vec();
    stream.push(OBJECT);
    let fields = ["fullStringifiedStackTrace", "originalErrorClassName"];
    describe(&mut stream, "org.apache.flink.util.SerializedThrowable", 7284183123441947635, SERIALIZABLE, &fields);
    describe(&mut stream, "java.lang.Exception", -3387516993124229948, SERIALIZABLE, &[]);
    describe(&mut stream, "java.lang.Throwable", -3042686055658047285, WITH_WRITE_METHOD, &["detailMessage"]);
    // There is no superclass. The values follow, from the topmost class down.
    stream.push(NULL);
    string(&mut stream, message);
    stream.push(END_OF_BLOCK);
    string(&mut stream, stack_trace);
    string(&mut stream, class);
    stream
}

/// Writes the description of a class whose fields are texts. The superclass comes next.
fn describe(stream: &mut Vec<u8>, name: &str, version: i64, flags: u8, fields: &[&str]) {
    const CLASS: u8 = 0x72;
    stream.push(CLASS);
    text(stream, name);
    stream.extend(version.to_be_bytes());
    stream.push(flags);
    stream.extend((fields.len() as u16).to_be_bytes());
    for field in fields {
        stream.push(b'L');
        text(stream, field);
        string(stream, "Ljava/lang/String;");
    }
    stream.push(END_OF_BLOCK);
}

fn string(stream: &mut Vec<u8>, content: &str) {
    const STRING: u8 = 0x74;
    stream.push(STRING);
    text(stream, content);
}

/// Writes a text in Java's modified UTF-8.
///
/// Characters beyond the first 65,536 are two surrogates, and zero takes two bytes.
fn text(stream: &mut Vec<u8>, content: &str) {
    let mut bytes = Vec::new();
    for unit in content.encode_utf16() {
        let encoded = match unit {
            1..0x80 => vec![unit as u8],
            0 | 0x80..0x800 => vec![0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8],
            _ => vec![0xe0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3f) as u8, 0x80 | (unit & 0x3f) as u8],
        };
        if bytes.len() + encoded.len() > MAX_TEXT_BYTES {
            break;
        }
        bytes.extend(encoded);
    }
    stream.extend((bytes.len() as u16).to_be_bytes());
    stream.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_modified_utf_8() {
        for (content, expected) in [
            ("", &[0, 0][..]),
            ("a", &[0, 1, b'a']),
            ("\0\u{e4}", &[0, 4, 0xc0, 0x80, 0xc3, 0xa4]),
            ("\u{20ac}\u{10ffff}", &[0, 9, 0xe2, 0x82, 0xac, 0xed, 0xaf, 0xbf, 0xed, 0xbf, 0xbf]),
        ] {
            let mut stream = Vec::new();
            text(&mut stream, content);
            assert_eq!(stream, expected, "{content:?}");
        }
        let mut stream = Vec::new();
        text(&mut stream, &"\u{20ac}".repeat(30_000));
        assert_eq!((stream.len(), &stream[..2]), (2 + MAX_TEXT_BYTES, &[0xff, 0xff][..]));
    }
}
