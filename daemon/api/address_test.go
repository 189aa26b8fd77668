package api

import (
	"net/http"
	"testing"
)

func TestClientAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.7:4711", nil, "192.0.2.7"},
		{"192.0.2.7:4711", []string{"198.51.100.1"}, "192.0.2.7"}, // not our proxy: anybody may write that
		{"127.0.0.1:4711", nil, "127.0.0.1"},
		{"127.0.0.1:4711", []string{"198.51.100.1"}, "198.51.100.1"},
		{"[::1]:4711", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"}, // the first one the client made up
		{"127.0.0.1:4711", []string{"203.0.113.9", " 2001:db8::1 "}, "2001:db8::1"},
		{"[::ffff:127.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"127.0.0.1:4711", []string{"unknown"}, "127.0.0.1"},
		{"127.0.0.1:4711", []string{""}, "127.0.0.1"},
		{"@", nil, "invalid IP"},
		{"", []string{"198.51.100.1"}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{forwardedFor: tt.forwarded}}
		if got := clientAddress(r).String(); got != tt.want {
			t.Errorf("%q %q: %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}
