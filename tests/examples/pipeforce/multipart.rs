//! Files that are not what they should be.

use super::hub::{DOCUMENTED, Hub};

const PLAIN: &str = "multipart/form-data; boundary=b";

fn part(disposition: &str, content: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

#[tokio::test]
async fn bad_multipart_is_refused_and_the_server_lives() {
    let mut hub = Hub::start(&[]);
    let token = hub.put("eventKey=a").await;
    let one = part("name=\"file\"; filename=\"a.pdf\"", "1");
    let long = format!("multipart/form-data; boundary={}", "b".repeat(10_240));
    let malformed = "body is not multipart/form-data";
    for (content_type, body, status, text) in [
        (PLAIN, one.clone(), 400, malformed),
        (PLAIN, String::new(), 400, malformed),
        (PLAIN, DOCUMENTED.to_owned(), 400, malformed),
        (PLAIN, one.replace("\r\n", "\n") + "--b--", 400, malformed),
        ("multipart/form-data", one.clone() + "--b--", 400, malformed),
        (&long, one.replace("--b", &format!("--{}", "b".repeat(10_240))), 400, malformed),
        (PLAIN, part("filename=\"a.pdf\"", "1") + "--b--", 422, "part without a name"),
        (PLAIN, one.repeat(33) + "--b--", 413, "too many parts"),
        (PLAIN, one.repeat(5_000) + "--b--", 413, "too many parts"),
    ] {
        let refused = hub.call(&token, content_type, &body).await;
        assert_eq!((refused.status, refused.text()), (status, text), "{body:.80}");
    }
    assert_eq!(hub.call(&token, PLAIN, one + "--b--").await.status, 200);
    let (messages, log) = hub.kill();
    assert_eq!(messages.len(), 1);
    assert!(!log.contains("panicked") && !log.contains("a.pdf"), "{log}");
}

#[tokio::test]
async fn file_names_are_labels_and_nested_multipart_is_one_file() {
    let mut hub = Hub::start(&[]);
    let token = hub.put("eventKey=a").await;
    let inner = "--i\r\nContent-Disposition: file; filename=\"x\"\r\n\r\n1\r\n--i--";
    let body = part("name=\"file\"; filename=\"../../etc/passwd\"", "1")
        + &part(r#"name="file"; filename="C:\Windows\win.ini""#, "2")
        + &part("name=\"file\"; filename=\"..\"", "3")
        + &part("name=\"other\"; filename=\"ignored.pdf\"", "4")
        + "--b\r\nContent-Disposition: form-data; name=\"file\"\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"
        + inner
        + "\r\n--b--\r\n";
    assert_eq!(hub.call(&token, PLAIN, body).await.status, 200);
    let (messages, _) = hub.kill();
    let files = messages[0]["files"].as_array().unwrap();
    let names: Vec<_> = files.iter().map(|file| file["name"].as_str()).collect();
    assert_eq!(names, [Some("passwd"), Some("win.ini"), None, None]);
    assert_eq!(files[3]["contentType"], "multipart/mixed; boundary=i");
}
