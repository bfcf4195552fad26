use serde_json::{Value, json};

use super::list;

/// A crate with the items of these numbers in its root.
fn json_of(root: &Value, items: &Value) -> String {
    let mut index = items.clone();
    index["0"] = json!({"id": 0, "name": "a", "attrs": [], "inner": {"module": {"items": root}}});
    json!({"format_version": super::FORMAT, "root": 0, "index": index}).to_string()
}

fn item(id: u32, name: &str, inner: &Value) -> Value {
    json!({"id": id, "name": name, "attrs": [], "inner": inner})
}

fn hidden(id: u32, name: &str, inner: &Value) -> Value {
    json!({"id": id, "name": name, "attrs": [{"other": "#[doc(hidden)]"}], "inner": inner})
}

fn re_export(id: u32, name: &str, of: Option<u32>) -> Value {
    let source = format!("b::{name}");
    item(id, name, &json!({"use": {"name": name, "source": source, "id": of, "is_glob": false}}))
}

#[test]
fn items_are_listed_once_and_where_they_can_be_named() {
    let generics = json!({"params": [], "where_predicates": []});
    let kind = json!({"plain": {"fields": [3, 4]}});
    let of_struct = json!({"struct": {"kind": kind, "generics": generics, "impls": [5]}});
    let mut open = item(2, "S", &of_struct);
    open["attrs"] = json!(["non_exhaustive"]);
    let block = json!({"impl": {"trait": null, "is_synthetic": false, "blanket_impl": null, "items": [6]}});
    let this = json!({"borrowed_ref": {"lifetime": null, "is_mutable": false, "type": {"generic": "Self"}}});
    let get = json!({"function": {
        "generics": generics,
        "header": {"is_const": true, "is_async": false, "is_unsafe": false},
        "sig": {"inputs": [["self", this]], "output": {"primitive": "u8"}},
    }});
    let items = json!({
        "1": re_export(1, "S", Some(2)),
        "2": open,
        "3": item(3, "shown", &json!({"struct_field": {"primitive": "u8"}})),
        "4": hidden(4, "left_out", &json!({"struct_field": {"primitive": "u8"}})),
        "5": item(5, "", &block),
        "6": item(6, "get", &get),
        "7": hidden(7, "left_out", &json!({"module": {"items": [2]}})),
        "8": re_export(8, "other", None),
        "9": item(9, "also", &json!({"module": {"items": [1]}})),
    });
    let lines = list(&json_of(&json!([9, 1, 7, 8]), &items)).unwrap();
    let expected = [
        "struct a::S (non_exhaustive)",
        "a::S.shown: u8",
        "const fn a::S::get(&self) -> u8",
        "mod a::also",
        "use a::also::S = a::S",
        "use a::other = b::other",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_is_not_known_is_an_error() {
    let items = json!({"1": item(1, "x", &json!({"marvel": {}}))});
    let error = list(&json_of(&json!([1]), &items)).unwrap_err().to_string();
    assert_eq!(error, "a::x is of an unknown kind: marvel");
    assert!(list(&json_of(&json!([2]), &items)).unwrap_err().to_string().contains("item 2 is missing"));
}
