package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestInfoTellsHowTheRequestCame(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	info, err := k.local(t).Info(t.Context())
	if d := cmp.Diff(wire.Info{Version: "1.0", Data: "/data", SameUser: true, Local: true}, info); d != "" || err != nil {
		t.Error(d, err)
	}
	info, err = k.remote(t, k.token(t, auth.Read)).Info(t.Context())
	if d := cmp.Diff(wire.Info{Version: "1.0", Data: "/data"}, info); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	admin := k.local(t)
	token, err := admin.Access().Issue(t.Context(), auth.TokenSpec{Name: "ci", Scope: auth.Write, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	list, err := admin.Access().List(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "ci" || list[0].Scope != auth.Write || list[0].Expires.IsZero() {
		t.Fatalf("%+v, %v", list, err)
	}
	ci := k.remote(t, token)
	if _, err := ci.List(t.Context(), nil, 0); err != nil {
		t.Error(err)
	}
	if _, err := ci.Access().Issue(t.Context(), auth.TokenSpec{Name: "more", Scope: auth.Admin}); code(t, err) != wire.CodeForbidden {
		t.Error("a write token made an admin token")
	}
	if err := admin.Access().Revoke(t.Context(), "ci"); err != nil {
		t.Fatal(err)
	}
	if _, err := ci.List(t.Context(), nil, 0); code(t, err) != wire.CodeUnauthorized {
		t.Errorf("a revoked token: %v", err)
	}
	for name, err := range map[string]error{
		"revoked twice":  admin.Access().Revoke(t.Context(), "ci"),
		"revoked nobody": admin.Access().Revoke(t.Context(), "a b?c"),
	} {
		if code(t, err) != wire.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range [][2]string{{"x", "root"}, {" ", "read"}, {"x", ""}} {
		if _, err := admin.Access().Issue(t.Context(), auth.TokenSpec{Name: bad[0], Scope: auth.Scope(bad[1])}); code(t, err) != wire.CodeBadRequest {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	for _, token := range []string{"", "bxk_wrong", strings.Repeat("x", 10000)} {
		_, err := k.remote(t, token).Info(t.Context())
		if code(t, err) != wire.CodeUnauthorized || !strings.Contains(err.Error(), "boxkiln token create --scope read") {
			t.Errorf("token %.20q: %v", token, err)
		}
	}
	res, _ := k.do(t, http.MethodGet, "/v1/info", "", "", nil)
	if got := res.Header.Get("WWW-Authenticate"); got != `Bearer realm="boxkiln"` {
		t.Errorf("WWW-Authenticate: %q", got)
	}
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
	for _, other := range []string{"Basic abc", "Bearer", k.token(t, auth.Admin)} {
		res, _ := k.do(t, http.MethodGet, "/v1/info", "", "", http.Header{"Authorization": {other}})
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("Authorization %q: %s", other, res.Status)
		}
	}
}

// A database that does not answer is no reason to call a token wrong.
func TestTokenThatCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	c := k.remote(t, k.token(t, auth.Admin))
	if err := k.db.R.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Info(t.Context()); code(t, err) != wire.CodeInternal {
		t.Error(err)
	}
	if _, err := k.local(t).Info(t.Context()); err != nil {
		t.Errorf("the socket needs no token: %v", err)
	}
}

func TestSubmitSendsOnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	dir := t.TempDir()
	var ins []build.Input
	for _, content := range []string{"known", "new", ""} {
		path := filepath.Join(dir, "f"+content)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(content))
		ins = append(ins, build.Input{Path: path, Size: int64(len(content)), Digest: hex.EncodeToString(sum[:])})
	}
	if err := k.inputs.Put(ins[0].Digest, strings.NewReader("known")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ins[0].Path); err != nil { // not read again
		t.Fatal(err)
	}
	ins = append(ins, build.Input{Path: dir, Mode: os.ModeDir})
	req := wire.SubmitRequest{Plans: []build.Plan{{Label: "a", Inputs: ins}, {Label: "b"}}, Parallel: 1}
	records, err := k.local(t).Submit(t.Context(), req)
	if err != nil || len(records) != 2 || records[0].Label != "a" || records[1].Label != "b" || records[0].Parallel != 1 {
		t.Fatalf("%+v, %v", records, err)
	}
	if _, err := k.inputs.View(ins, dir); err != nil {
		t.Error(err)
	}
	if _, err := k.remote(t, k.token(t, auth.Write)).Submit(t.Context(), wire.SubmitRequest{Plans: []build.Plan{{Label: "c"}}}); err != nil {
		t.Fatal(err)
	}
	want := []auth.Principal{{Name: "socket", Scope: auth.Admin, Local: true, SameUser: true}, {Name: "of-write", Token: 1, Scope: auth.Write}}
	if d := cmp.Diff(want, k.builds.who); d != "" {
		t.Error(d)
	}
}

func TestSubmitFileThatChanged(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	path := filepath.Join(t.TempDir(), "ks.cfg")
	if err := os.WriteFile(path, []byte("now"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("before"))
	plan := build.Plan{Inputs: []build.Input{{Path: path, Digest: hex.EncodeToString(sum[:])}}}
	_, err := k.local(t).Submit(t.Context(), wire.SubmitRequest{Plans: []build.Plan{plan}})
	if code(t, err) != wire.CodeBadRequest || !strings.Contains(err.Error(), "did the file change") || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	if len(k.builds.records) != 0 {
		t.Error("it was queued")
	}
	plan.Inputs[0].Path += ".gone"
	if _, err := k.local(t).Submit(t.Context(), wire.SubmitRequest{Plans: []build.Plan{plan}}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Each error of the service leaves with its status and code; what has none is ours, and its text stays here.
func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err    error
		status int
		code   wire.Code
	}{
		{build.ErrNotFound, 404, wire.CodeNotFound},
		{fmt.Errorf("deep: %w", build.ErrNotFound), 404, wire.CodeNotFound},
		{wire.Errorf(wire.CodeOverBudget, "needs 9 GiB"), 422, wire.CodeOverBudget},
		{wire.Errorf(wire.CodeForbidden, "shell-local"), 403, wire.CodeForbidden},
		{wire.Errorf(wire.CodeStopping, "the daemon ends"), 503, wire.CodeStopping},
		{fmt.Errorf("%w: page 7", sqlitedb.ErrDiskFull), 507, wire.CodeDiskFull},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 507, wire.CodeDiskFull},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, 507, wire.CodeDiskFull},
		{errors.New("secret detail"), 500, wire.CodeInternal},
	}
	for _, tt := range tests {
		k := newKiln(t)
		k.builds.fail = tt.err
		c := k.local(t)
		_, submitErr := c.Submit(t.Context(), wire.SubmitRequest{})
		_, getErr := c.Get(t.Context(), "b")
		_, listErr := c.List(t.Context(), nil, 0)
		_, outputsErr := c.Outputs(t.Context(), "b")
		for name, err := range map[string]error{
			"submit": submitErr, "get": getErr, "list": listErr, "outputs": outputsErr,
			"cancel": c.Cancel(t.Context(), "b"), "answer": c.Answer(t.Context(), "b", "x"),
			"fetch":  c.FetchOutput(t.Context(), "b", 0, io.Discard),
			"events": c.Events(t.Context(), "b", func(build.Event) error { return nil }),
		} {
			if code(t, err) != tt.code || strings.Contains(err.Error(), "secret detail") {
				t.Errorf("%s with %v: %v", name, tt.err, err)
			}
		}
		if got := k.status(t, http.MethodGet, "/v1/builds/b", k.token(t, auth.Read)); got != tt.status {
			t.Errorf("%v: status %d", tt.err, got)
		}
		if logged := strings.Contains(k.logs.String(), "secret detail"); logged != (tt.code == wire.CodeInternal) {
			t.Errorf("%v: logged %v", tt.err, logged)
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	token := k.token(t, auth.Admin)
	zeros := strings.Repeat("0", 64)
	tests := []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/builds", "", 400},
		{"POST", "/v1/builds", "{", 400},
		{"POST", "/v1/builds", `{"plans": 7}`, 400},
		{"POST", "/v1/inputs/missing", `[]`, 400},
		{"POST", "/v1/inputs/missing", `{"digests": ["../../etc/passwd"]}`, 400},
		{"PUT", "/v1/inputs/sha256/" + zeros, "something else", 400},
		{"PUT", "/v1/inputs/sha256/..%2f..%2fx", "", 404},
		{"PUT", "/v1/inputs/sha256/abc", "", 400},
		{"GET", "/v1/builds?limit=0", "", 400},
		{"GET", "/v1/builds?limit=1001", "", 400},
		{"GET", "/v1/builds?limit=ten", "", 400},
		{"GET", "/v1/builds?limit=1000", "", 200},
		{"GET", "/v1/builds/none", "", 404},
		{"GET", "/v1/builds/none/events", "", 404},
		{"GET", "/v1/builds/none/events?offset=-1", "", 400},
		{"GET", "/v1/builds/none/outputs/one", "", 400},
		{"POST", "/v1/builds/none/cancel", "", 404},
		{"POST", "/v1/builds/none/answer", "answer=yes", 400},
		{"POST", "/v1/builds/none/answer", `{"answer": "yes"}`, 404},
		{"POST", "/v1/tokens", `{"name": "x"}`, 400},
		{"DELETE", "/v1/builds", "", 405},
	}
	for _, tt := range tests {
		res, body := k.do(t, tt.method, tt.path, token, tt.body, nil)
		if res.StatusCode != tt.status {
			t.Errorf("%s %s %q: %s %s", tt.method, tt.path, tt.body, res.Status, body)
		}
	}
}

// endless is a JSON text without an end.
type endless struct{ begun bool }

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, bytes.Repeat([]byte("x"), len(p)))
	if !e.begun {
		e.begun = true
		copy(p, `{"plans":["`)
	}
	return n, nil
}

func TestSubmissionIsBounded(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/builds", &endless{})
	req.Header.Set("Authorization", "Bearer "+k.token(t, auth.Write))
	res := httptest.NewRecorder()
	// Not over a connection: a client that still sends when the server hangs up may lose the answer.
	k.tcp.Config.Handler.ServeHTTP(res, req)
	if res.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", res.Code, res.Body)
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.builds.records = []build.Record{{ID: "b1"}}
	records, err := k.local(t).List(t.Context(), []string{"running", "queued"}, 7)
	if err != nil || len(records) != 1 {
		t.Errorf("%v, %v", records, err)
	}
	if d := cmp.Diff(store.Filter{States: []build.State{build.Running, build.Queued}, Limit: 7}, k.builds.filter); d != "" {
		t.Error(d)
	}
	if got := k.status(t, http.MethodGet, "/v1/builds?run=r&box=a/b&before=b2", k.token(t, auth.Read)); got != 200 {
		t.Error(got)
	}
	if d := cmp.Diff(store.Filter{Run: "r", Box: "a/b", Before: "b2"}, k.builds.filter); d != "" {
		t.Error(d)
	}
}

func TestGetCancelAnswer(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.builds.records = []build.Record{{ID: "b1", State: build.Running, Attempt: 2}}
	c := k.local(t)
	reply, err := c.Get(t.Context(), "b1")
	if err != nil || reply.State != build.Running || len(reply.Steps) != 1 || reply.Steps[0].Seconds != 1.5 || !reply.Finished.Time().IsZero() {
		t.Errorf("%+v, %v", reply, err)
	}
	if err := c.Answer(t.Context(), "b1", "retry"); err != nil {
		t.Error(err)
	}
	if err := c.Answer(t.Context(), "b1", "retry"); code(t, err) != wire.CodeConflict {
		t.Errorf("the second answer: %v", err)
	}
	if err := c.Cancel(t.Context(), "b1"); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"retry"}, k.builds.answers); d != "" || k.builds.records[0].State != build.Canceling {
		t.Error(d, k.builds.records)
	}
	for _, id := range []build.ID{"none", "../../info", "b1/cancel", "a b?c"} {
		if _, err := c.Get(t.Context(), id); err == nil {
			t.Errorf("%q was found", id)
		}
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	k.builds.records = []build.Record{{ID: "b1"}}
	k.builds.outputs["b1"] = []string{"first", strings.Repeat("0123456789", 1<<15), ""}
	c := k.local(t)
	list, err := c.Outputs(t.Context(), "b1")
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	for n, want := range k.builds.outputs["b1"] {
		var got bytes.Buffer
		if err := c.FetchOutput(t.Context(), "b1", n, &got); err != nil || got.String() != want || list[n].Size != int64(got.Len()) {
			t.Errorf("output %d: %d bytes, %v", n, got.Len(), err)
		}
	}
	if err := c.FetchOutput(t.Context(), "b1", 3, io.Discard); code(t, err) != wire.CodeNotFound {
		t.Error(err)
	}
	res, body := k.do(t, http.MethodGet, "/v1/builds/b1/outputs/1", k.token(t, auth.Read), "", http.Header{"Range": {"bytes=10-14"}})
	if res.StatusCode != http.StatusPartialContent || body != "01234" {
		t.Errorf("%s %q", res.Status, body)
	}
}
