//! What Java's serialization makes of an exception: Flink's clients read nothing else of a failure.

/// Ends what a class adds to the stream by itself.
const END_OF_BLOCK: u8 = 0x78;
/// The longest text that a stream may hold in this form, in bytes.
const LONGEST: usize = u16::MAX as usize;

/// The stream of an `org.apache.flink.util.SerializedThrowable`, which is the same class in all versions. Fields that are left out are `null`.
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
    // It has no superclass. The values follow from the topmost class down.
    stream.push(NULL);
    string(&mut stream, message);
    stream.push(END_OF_BLOCK);
    string(&mut stream, stack_trace);
    string(&mut stream, class);
    stream
}

/// A class whose fields are texts; what comes next is its superclass.
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

/// In Java's own UTF-8: characters beyond the first 65,536 as two surrogates, and zero in two bytes.
fn text(stream: &mut Vec<u8>, content: &str) {
    let mut bytes = Vec::new();
    for unit in content.encode_utf16() {
        let encoded = match unit {
            1..0x80 => vec![unit as u8],
            0 | 0x80..0x800 => vec![0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8],
            _ => vec![0xe0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3f) as u8, 0x80 | (unit & 0x3f) as u8],
        };
        if bytes.len() + encoded.len() > LONGEST {
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
    fn texts_are_in_javas_utf_8() {
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
        assert_eq!((stream.len(), &stream[..2]), (2 + LONGEST, &[0xff, 0xff][..]));
    }
}
