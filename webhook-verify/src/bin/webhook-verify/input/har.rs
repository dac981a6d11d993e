//! Requests of an HTTP Archive 1.2.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Input, NO_BODY};
use crate::recorded::target_of;

pub(super) fn read(request: &Value) -> Result<Input, String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let url = text(request.get("url")).ok_or("`url` is missing")?;
    let mut headers = Vec::new();
    for header in request.get("headers").and_then(Value::as_array).into_iter().flatten() {
        let name = text(header.get("name")).ok_or("a header has no name")?;
        let value = match header.get("value") {
            Some(Value::String(value)) => value.clone(),
            Some(Value::Number(value)) => value.to_string(),
            _ => return Err("a header has no value".into()),
        };
        // Pseudo-headers of HTTP/2, such as `:method`, are no headers.
        if !name.starts_with(':') {
            headers.push((name, value.into_bytes()));
        }
    }
    Ok(Input {
        method: text(request.get("method")).unwrap_or_else(|| "POST".into()),
        target: target_of(&url).to_owned(),
        url: Some(url),
        headers,
        body: body(request)?,
        note: None,
        row: None,
    })
}

fn body(request: &Value) -> Result<Result<Vec<u8>, &'static str>, String> {
    let data = request.get("postData").filter(|data| !data.is_null());
    let member = |name| data.and_then(|data| data.get(name)).filter(|it| !it.is_null());
    let Some(text) = member("text") else {
        // The bytes cannot be restored from the parameters.
        let has_body = member("params").is_some()
            || request.get("bodySize").and_then(Value::as_i64).is_some_and(|size| size > 0);
        return Ok(if has_body { Err(NO_BODY) } else { Ok(Vec::new()) });
    };
    let text = text.as_str().ok_or("`postData.text` is not text")?;
    let encoding = member("encoding").and_then(Value::as_str);
    let is_base64 = encoding.is_some_and(|it| it.eq_ignore_ascii_case("base64"));
    Ok(Ok(match is_base64 {
        true => STANDARD.decode(text).map_err(|_| "`postData` is not base64")?,
        false => text.as_bytes().to_vec(),
    }))
}

/// Removes the requests of a HAR file that are no webhooks: those that were not sent over HTTP, and
/// if there are others, those without a body.
pub(super) fn retain_webhooks(inputs: &mut Vec<Input>) {
    inputs.retain(|input| input.row.is_some() || is_http(input));
    let is_page = |input: &Input| {
        let has_no_body = input.body.as_ref().is_ok_and(Vec::is_empty);
        let method = input.method.as_str();
        input.row.is_none() && has_no_body && ["GET", "HEAD", "OPTIONS"].contains(&method)
    };
    if !inputs.iter().all(is_page) {
        inputs.retain(|input| !is_page(input));
    }
}

fn is_http(input: &Input) -> bool {
    let scheme = input.url.as_deref().and_then(|url| url.split_once(':')).map(|(scheme, _)| scheme);
    !scheme.is_some_and(|scheme| {
        ["data", "ws", "wss", "blob", "about"].iter().any(|it| scheme.eq_ignore_ascii_case(it))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::read, Input};

    fn inputs(requests: &[Value]) -> Result<Vec<Input>, String> {
        let entries: Vec<_> =
            requests.iter().map(|request| json!({ "request": request })).collect();
        read(json!({"log": {"entries": entries}}).to_string().as_bytes())
    }

    fn request(method: &str, url: &str, data: &Value) -> Value {
        let headers = json!([{"name": ":method", "value": method}, {"name": "a", "value": 36}]);
        json!({"method": method, "url": url, "headers": headers, "postData": data})
    }

    #[test]
    fn pages_of_a_browser_are_skipped() {
        let get = request("GET", "https://x/page", &Value::Null);
        let post = request("POST", "https://x/hook", &json!({"text": "{}"}));
        let data = request("POST", "data:text/plain,x", &json!({"text": "{}"}));
        let socket = request("GET", "wss://x/", &Value::Null);
        let all = inputs(&[get.clone(), data.clone(), post, socket]).unwrap();
        let urls: Vec<_> = all.iter().map(|input| input.url.as_deref()).collect();
        assert_eq!(urls, [Some("https://x/hook")]);
        assert_eq!(inputs(&[get.clone(), get]).unwrap().len(), 2);
        assert!(inputs(&[data]).is_err());
    }

    #[test]
    fn numbers_are_values_and_pseudo_headers_are_none() {
        let input = inputs(&[request("POST", "https://x/", &Value::Null)]).unwrap().remove(0);
        assert_eq!(input.headers, [("a".to_owned(), b"36".to_vec())]);
        assert_eq!(input.body, Ok(Vec::new()));
    }

    #[test]
    fn a_body_in_base64_is_decoded() {
        for encoding in ["base64", "BASE64"] {
            let data = json!({"text": "e30=", "encoding": encoding});
            let input = inputs(&[request("POST", "https://x/", &data)]).unwrap().remove(0);
            assert_eq!(input.body.as_deref(), Ok(&b"{}"[..]), "{encoding}");
        }
    }

    #[test]
    fn a_body_without_its_text_is_missing() {
        let data = json!({"mimeType": "", "params": [{"name": "a", "value": "1"}]});
        let mut with_size = request("POST", "https://x/", &Value::Null);
        with_size["bodySize"] = json!(3);
        for request in [request("POST", "https://x/", &data), with_size] {
            let input = inputs(&[request]).unwrap().remove(0);
            assert!(input.body.unwrap_err().contains("no body: pass it with --body"));
        }
        assert!(inputs(&[request("POST", "https://x/", &json!({"text": 5}))]).is_err());
    }
}
