#!/bin/sh
# Walks through the documents of PIPEFORCE with curl: creates a webhook, calls it in every way, lists, changes and deletes it.
#
#   cargo run --example pipeforce -- --admin-token secret
#   examples/pipeforce/walk.sh http://127.0.0.1:3000 secret
set -eu

server=${1:-http://127.0.0.1:3000}
admin="Authorization: Bearer ${2:?the admin token}"
api=$server/api/v3/command
body=$(mktemp) && file=$(mktemp)
trap 'rm -f "$body" "$file"' EXIT

# step WHAT STATUS CURL-ARGUMENTS: sends a request, and checks its status. The answer is in $body.
step() {
    what=$1 expected=$2
    shift 2
    status=$(curl -s -o "$body" -w '%{http_code}' "$@")
    [ "$status" = "$expected" ] || {
        echo "$what: $status instead of $expected: $(cat "$body")" >&2
        exit 1
    }
    echo "$what: $status $(cut -c 1-120 "$body")"
}

# says TEXT: the answer has it.
says() {
    grep -qF -- "$1" "$body" || {
        echo "$what: no $1 in $(cat "$body")" >&2
        exit 1
    }
}

step 'create' 200 -H "$admin" -d eventKey=webhook.lead.created "$api/webhook.put"
says '"eventKey":"webhook.lead.created"'
token=$(sed -n 's/.*"uuid":"\([^"]*\)".*/\1/p' "$body")
says "\"webhookUrl\":\"$server/api/v3/webhook.receive?token=$token\""

step 'call by GET' 200 "$api/webhook.receive?token=$token"
says '"status":"running"'
step 'call the webhookUrl' 200 "$server/api/v3/webhook.receive?token=$token"
step 'call by POST' 200 -H 'Content-Type: application/json' -d '{"name":"Zoe"}' "$api/webhook.receive?token=$token"
step 'call with the token in a header' 200 -H "token: $token" -H 'Content-Type: text/plain' -d hello "$api/webhook.receive"
step 'call with the token in a form' 200 -d "token=$token" -d name=Zoe "$api/webhook.receive"
step 'call with the old name of the token' 200 "$api/webhook.receive?uuid=$token"

# The document's own request, with its blanks behind boundaries and headers.
printf '%s\r\n' '--boundary ' 'Content-Disposition: form-data; name="file"; filename="fileA.pdf" ' '' \
    '<CONTENT FILE fileA.pdf GOES HERE...>' '--boundary ' \
    'Content-Disposition: form-data; name="file"; filename="fileB.pdf" ' '' \
    '<CONTENT FILE fileB.pdf GOES HERE...>' '--boundary--' >"$file"
step 'files as documented' 200 -H 'Content-Type: multipart/form-data;boundary="boundary" ' \
    --data-binary "@$file" "$api/webhook.receive?uuid=$token"
step 'files by curl' 200 -H "token: $token" -F "file=@$file;filename=fileC.pdf" "$api/webhook.receive"
step 'files without an end' 400 -H "token: $token" -H 'Content-Type: multipart/form-data; boundary=boundary' \
    -d '--boundary' "$api/webhook.receive"

step 'list' 200 -H "$admin" "$api/webhook.get"
says "$token"
step 'list one' 200 -H "$admin" "$api/webhook.get?uuid=$token"
says '"eventKey":"webhook.lead.created"'
step 'change' 200 -H "$admin" -H 'Content-Type: application/json' \
    -d "{\"uuid\":\"$token\",\"eventKey\":\"webhook.changed.key\"}" "$api/webhook.put"
says '"eventKey":"webhook.changed.key"'
says "$token"
step 'call what was changed' 200 "$api/webhook.receive?token=$token"
step 'delete' 204 -H "$admin" -d "uuid=$token" "$api/webhook.delete"
step 'list what was deleted' 404 -H "$admin" "$api/webhook.get?uuid=$token"
step 'call what was deleted' 401 "$api/webhook.receive?token=$token"
step 'create without the admin token' 401 -d eventKey=webhook.lead.created "$api/webhook.put"
echo 'walked'
