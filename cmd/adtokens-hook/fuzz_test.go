package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// FuzzReceive looks for requests that crash the hook, or that it believes although nobody has signed them now.
func FuzzReceive(f *testing.F) {
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		f.Fatal(err)
	}
	h := &hook{webhook: webhook}
	body := []byte(`{"type":"reset","token":"acme-rw","idempotency_key":"key-1"}`)
	old := time.Now().Add(-time.Hour)
	recorded, err := webhook.Sign("key-1", old, body)
	if err != nil {
		f.Fatal(err)
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for _, seed := range [][3]string{
		{"key-1", strconv.FormatInt(old.Unix(), 10), recorded},
		{"key-1", now, recorded},
		{"key-1", now, "v1,"},
		{"key-1", now, "v1"},
		{"key-1", now, ", v1,x v2,y "},
		{"", "", ""},
		{"a.b", "9223372036854775808", "v1,====" + recorded},
	} {
		f.Add(seed[0], seed[1], seed[2], body)
	}
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
		request.Header = http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}, "Idempotency-Key": {id},
		}
		e, refusal := h.receive(httptest.NewRecorder(), request)
		if refusal == nil || (refusal.status != http.StatusUnauthorized && refusal.status != http.StatusRequestEntityTooLarge) {
			t.Errorf("the event %+v was believed, refusal %+v", e, refusal)
		}
	})
}
