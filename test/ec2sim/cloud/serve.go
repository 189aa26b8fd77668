package cloud

import (
	"net/http"
	"regexp"
	"time"
)

// scope is the part of a signature that says what a request is for.
type scope struct{ key, region, service string }

var credential = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([a-z0-9-]+)/([a-z0-9]+)/aws4_request, ?SignedHeaders=[^,]+, ?Signature=[0-9a-f]{64}$`)

var presigned = regexp.MustCompile(`^([^/]+)/\d{8}/([a-z0-9-]+)/([a-z0-9]+)/aws4_request$`)

// Request is one that was answered, or is about to be.
type Request struct {
	N                       int // from 1, in the order of their coming
	Service, Region, Action string
	Key                     string // access key of whoever asks
}

// AfterCalls has a hook called for every request when it has had its effect and before its answer is sent, in the request's own
// goroutine: whoever ends a client there leaves it without knowing what it did. The hook may ask the cloud anything, and may panic
// with http.ErrAbortHandler, which cuts the connection in place of an answer.
func (c *Cloud) AfterCalls(hook func(Request)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = hook
}

// Requests returns all requests so far.
func (c *Cloud) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Request(nil), c.requests...)
}

// Calls tells how often each action was called, whatever came of it.
func (c *Cloud) Calls() map[string]int {
	calls := map[string]int{}
	for _, r := range c.Requests() {
		calls[r.Action]++
	}
	return calls
}

// ServeHTTP answers a request of any service.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == objectsPath && r.Header.Get("Authorization") == "" {
		writeJSON(w, http.StatusOK, c.Objects())
		return
	}
	if c.cfg.Latency > 0 {
		select {
		case <-time.After(c.cfg.Latency):
		case <-r.Context().Done():
			return
		}
	}
	m := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed := r.URL.Query().Get("X-Amz-Credential"); m == nil && signed != "" { // as presigned addresses have it
		m = presigned.FindStringSubmatch(signed)
	}
	if m == nil {
		fail(w, &Error{Status: http.StatusUnauthorized, Code: "AuthFailure", Message: unauthentic})
		return
	}
	c.serve(w, r, scope{m[1], m[2], m[3]})
}

// serve hands a request to its service.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request, s scope) {
	var name string
	var answer func(w http.ResponseWriter)
	switch s.service {
	case "ec2", "sts":
		if err := r.ParseForm(); err != nil {
			fail(w, problem("MalformedQueryString", "%v", err))
			return
		}
		name, answer = r.Form.Get("Action"), func(w http.ResponseWriter) { c.query(w, r, s) }
	case "ebs":
		op, args := directOperation(r)
		name, answer = op.name, func(w http.ResponseWriter) { c.direct(w, r, s, op, args) }
	case "s3":
		action, bucket := s3Action(r)
		name, answer = action, func(w http.ResponseWriter) { c.s3(w, r, s, action, bucket) }
	default:
		fail(w, problem("InvalidAction", "no service %s is simulated here", s.service))
		return
	}
	then := c.note(s, name)
	late := &lateWriter{ResponseWriter: w, before: then}
	answer(late)
	late.begin()
}

// note counts a request, and returns what is to be done before its answer is sent.
func (c *Cloud) note(s scope, name string) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Request{N: len(c.requests) + 1, Service: s.service, Region: s.region, Action: name, Key: s.key}
	c.requests = append(c.requests, r)
	hook := c.hook
	return func() {
		if hook != nil {
			hook(r)
		}
	}
}

// lateWriter does something before the first byte of an answer.
type lateWriter struct {
	http.ResponseWriter
	before func()
	begun  bool
}

func (w *lateWriter) begin() {
	if !w.begun {
		w.begun = true
		w.before()
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *lateWriter) WriteHeader(status int) {
	w.begin()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *lateWriter) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}
