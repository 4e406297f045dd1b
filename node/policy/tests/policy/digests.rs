//! The digest names what a policy means.

use crate::common::load;

#[test]
fn texts_that_mean_the_same_have_one_digest() {
    let digest = |text: &str| load(text).digest();
    let plain = r#"{"version":"1","default":"deny","tools":{"a":{},"t":{"require":[{"conditions":
        [{"path":"args.x","op":"eq","value":{"k":100,"l":["é",true]}}],"on_deny":"no"}],
        "limits":[{"counter":"c","window":"day","scope":"grant","max":5}]}}}"#;
    let spelt_otherwise = "\n{ \"tools\" : {\"t\":{\"limits\":[{\"max\":5.0,\"scope\":\"grant\",
        \"window\":\"day\",\"c\\u006funter\":\"c\"}],\"require\":[{\"on_deny\":\"no\",
        \"conditions\":[{\"value\":{\"l\":[\"\\u00e9\",true],\"k\":1e2},\"op\":\"eq\",
        \"path\":\"args.x\"}]}]}, \"a\":{}},\"default\":\"deny\",\"version\":\"1\" }\n";
    assert_eq!(digest(plain), digest(spelt_otherwise));
    assert_eq!(load(plain).rules(), load(spelt_otherwise).rules());
    assert_eq!(load(plain).limits(), load(spelt_otherwise).limits());
}

#[test]
fn every_change_changes_the_digest() {
    let texts = [
        r#"{"version":"1"}"#,
        r#"{"version":"1","default":"deny"}"#,
        r#"{"version":"1","default":"allow"}"#,
        r#"{"version":"1","description":""}"#,
        r#"{"version":"1","description":"d"}"#,
        r#"{"version":"1","hide":["a","b"]}"#,
        r#"{"version":"1","hide":["b","a"]}"#,
        r#"{"version":"1","hide":["ab"]}"#,
        r#"{"version":"1","tools":{}}"#,
        r#"{"version":"1","tools":{"a":{},"b":{}}}"#,
        r#"{"version":"1","tools":{"ab":{}}}"#,
        r#"{"version":"1","tools":{"a":{"deny":"x"}}}"#,
        r#"{"version":"1","tools":{"a":{"deny":"y"}}}"#,
        r#"{"version":"1","tools":{"a":{"deny":"1"}}}"#,
    ];
    let condition = |path: &str, value: &str| {
        format!(
            r#"{{"version":"1","tools":{{"t":{{"require":[{{"conditions":
            [{{"path":"{path}","op":"eq","value":{value}}}]}}]}}}}}}"#
        )
    };
    let values = [
        "1",
        "-1",
        "10",
        "0.1",
        "\"1\"",
        "true",
        "false",
        "[1]",
        "[1,1]",
        "[[1],1]",
        "[[1,1]]",
        "{}",
        "{\"a\":1}",
        "{\"b\":1}",
        "\"\"",
        "\"+\"",
        "{\"a\":{\"b\":1}}",
        "{\"a\":{},\"b\":1}",
    ];
    let mut digests = std::collections::BTreeMap::new();
    let all = texts.iter().map(|text| (*text).to_owned());
    let conditions = values.iter().map(|value| condition("args.x", value));
    // The same place, but the pointer that people read is another.
    let spelt = std::iter::once(condition(r#"args[\"x\"]"#, "1"));
    for text in all.chain(conditions).chain(spelt) {
        let other = digests.insert(load(&text).digest(), text.clone());
        assert_eq!(other, None, "{text}");
    }
}

#[test]
fn a_published_policy_keeps_its_digest() {
    let text = include_str!("../../../../deploy/policies/refund-over-100.json");
    let hex: String = load(text)
        .digest()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "dc7fc10f4949599b4cad9b69cc355d0d65d717968454da1ee08b0b81d2dc8953"
    );
}
