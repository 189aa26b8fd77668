package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/crypto/bcrypt"

	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	boxstore "github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/eventlog"
	"github.com/boxkiln/boxkiln/daemon/imports"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/audit"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// builds is a service that runs nothing: its builds are what tests put there, their logs are real.
type builds struct {
	book eventlog.Book
	dir  string

	mu      sync.Mutex
	records []build.Record
	outputs map[build.ID][]string // contents
	answers []string
	who     []auth.Principal // who submitted
	filter  store.Filter     // of the last List
	fail    error            // what every call returns, if it is set
}

func (b *builds) find(id build.ID) (*build.Record, error) {
	if b.fail != nil {
		return nil, b.fail
	}
	i := slices.IndexFunc(b.records, func(r build.Record) bool { return r.ID == id })
	if i < 0 {
		return nil, build.ErrNotFound
	}
	return &b.records[i], nil
}

func (b *builds) Submit(_ context.Context, who auth.Principal, r wire.SubmitRequest) ([]build.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return nil, b.fail
	}
	b.who = append(b.who, who)
	var made []build.Record
	for _, p := range r.Plans {
		made = append(made, build.Record{ID: build.ID(fmt.Sprint("b", len(b.records)+len(made))), Label: p.Label, Parallel: r.Parallel, State: build.Queued})
	}
	b.records = append(b.records, made...)
	return made, nil
}

func (b *builds) Get(_ context.Context, id build.ID) (wire.BuildReply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := b.find(id)
	if err != nil {
		return wire.BuildReply{}, err
	}
	return wire.BuildReply{Record: *r, Steps: []build.StepRecord{{Name: "boot", Attempt: 1, Phase: build.StepDone, Seconds: 1.5}}}, nil
}

func (b *builds) List(_ context.Context, f store.Filter) ([]build.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filter = f
	return b.records, b.fail
}

func (b *builds) Cancel(_ context.Context, id build.ID) (build.State, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := b.find(id)
	if err != nil {
		return "", err
	}
	r.State = build.Canceling
	return r.State, nil
}

func (b *builds) Answer(_ context.Context, id build.ID, answer string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.find(id); err != nil {
		return err
	}
	if len(b.answers) > 0 {
		return wire.Errorf(wire.CodeConflict, "build %s has its answer already", id)
	}
	b.answers = append(b.answers, answer)
	return nil
}

func (b *builds) log(id build.ID) string { return filepath.Join(b.dir, string(id)) }

func (b *builds) Follow(ctx context.Context, id build.ID, offset int64, fn func(eventlog.Line) error) error {
	return b.book.Follow(ctx, b.log(id), offset, fn)
}

func (b *builds) Outputs(_ context.Context, id build.ID) ([]wire.Output, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.find(id); err != nil {
		return nil, err
	}
	var list []wire.Output
	for i, content := range b.outputs[id] {
		list = append(list, wire.Output{Path: fmt.Sprint("/out/", i), Size: int64(len(content)), Mode: 0o644})
	}
	return list, nil
}

type seekCloser struct{ io.ReadSeeker }

func (seekCloser) Close() error { return nil }

func (b *builds) OpenOutput(ctx context.Context, id build.ID, n int) (io.ReadSeekCloser, wire.Output, error) {
	list, err := b.Outputs(ctx, id)
	if err != nil {
		return nil, wire.Output{}, err
	}
	if n < 0 || n >= len(list) {
		return nil, wire.Output{}, wire.Errorf(wire.CodeNotFound, "there is no output %d", n)
	}
	return seekCloser{strings.NewReader(b.outputs[id][n])}, list[n], nil
}

// kiln is the API over a fake service, real inputs and real tokens, on a TCP address and on a socket.
type kiln struct {
	builds *builds
	window *glass
	inputs inputs.Store
	tokens *auth.Tokens
	db     *sqlitedb.DB
	server *api.Server
	boxes  *boxstore.Registry
	key    *signing.Key
	logs   *lockedBuffer
	tcp    *httptest.Server
	socket string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newKiln(t testing.TB) *kiln {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(dir, "boxkiln.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	record, err := audit.Open(t.Context(), db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.Open(t.Context(), db, time.Now, record, auth.PasswordCost(bcrypt.MinCost))
	if err != nil {
		t.Fatal(err)
	}
	k := &kiln{
		builds: &builds{dir: t.TempDir(), outputs: map[build.ID][]string{}}, inputs: inputs.Store{Dir: t.TempDir()},
		tokens: tokens, db: db, logs: &lockedBuffer{}, socket: filepath.Join(dir, "daemon.sock"),
	}
	k.window = &glass{builds: k.builds, typed: map[build.ID]string{}}
	k.server = &api.Server{Builds: k.builds, Inputs: k.inputs, Tokens: tokens, Audit: record, Resumer: noResumer{}, Window: k.window, Info: wire.Info{Version: "1.0", Data: "/data"},
		Log: slog.New(slog.NewTextHandler(k.logs, nil)), Now: time.Now}
	k.server.Checkpoints, k.server.Clouds = openCheckpoints(t, db), clouds{}
	var boxesErr, keyErr error
	k.boxes, boxesErr = boxstore.New(t.Context(), db, &mem.Store{}, nil)
	k.key, keyErr = signing.NewKey()
	if err := errors.Join(boxesErr, keyErr); err != nil {
		t.Fatal(err)
	}
	k.server.Installed = k.boxes
	manager := imports.New(imports.Config{Fetcher: &upstream.Fetcher{Dir: t.TempDir()}})
	t.Cleanup(manager.Close)
	k.server.Imports = manager
	k.openRegistry(t, dir)
	k.tcp = k.serve(t, "tcp", "127.0.0.1:0")
	k.serve(t, "unix", k.socket)
	return k
}

// serve answers at an address until the test ends.
func (k *kiln) serve(t testing.TB, network, address string) *httptest.Server {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return k.serveOn(t, l)
}

func (k *kiln) serveOn(t testing.TB, l net.Listener) *httptest.Server {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.Use(api.Guard(k.tokens, nil))
	k.server.Mount(r)
	api.Beside{Known: k.boxes, Key: k.key.Public(), Log: k.server.Log}.Register(r)
	s := httptest.NewUnstartedServer(r)
	s.Listener.Close()
	s.Listener, s.Config.ConnContext = l, api.ConnContext
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// noResumer knows no build.
type noResumer struct{}

func (noResumer) Names(context.Context, build.ID) (wire.NamesReply, error) {
	return wire.NamesReply{}, build.ErrNotFound
}

func (noResumer) Resume(context.Context, auth.Principal, build.ID, wire.ResumeRequest) (wire.ResumeReply, error) {
	return wire.ResumeReply{}, build.ErrNotFound
}

func (noResumer) Retry(context.Context, auth.Principal, build.ID) (build.Record, error) {
	return build.Record{}, build.ErrNotFound
}

// token makes a token of a scope; none for no scope.
func (k *kiln) token(t testing.TB, scope auth.Scope) string {
	t.Helper()
	if scope == "" {
		return ""
	}
	token, err := k.tokens.Create(t.Context(), "of-"+string(scope), scope, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// local is a client through the socket.
func (k *kiln) local(t *testing.T) *client.Client {
	t.Helper()
	c := client.Socket(k.socket)
	t.Cleanup(c.Close)
	return c
}

// remote is a client over TCP with a token.
func (k *kiln) remote(t *testing.T, token string) *client.Client {
	t.Helper()
	return connect(t, k.tcp.URL, token)
}

func connect(t *testing.T, url, token string) *client.Client {
	t.Helper()
	c, err := client.Remote(url, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// do sends a bare request over TCP; the answer's body is read.
func (k *kiln) do(t testing.TB, method, path, token, body string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, k.tcp.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := k.tcp.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(data)
}

func (k *kiln) status(t *testing.T, method, path, token string) int {
	t.Helper()
	res, _ := k.do(t, method, path, token, "", nil)
	return res.StatusCode
}

// code is the code of an error of the API.
func code(t *testing.T, err error) wire.Code {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) {
		t.Errorf("%v is no error of the API", err)
		return ""
	}
	return e.Code
}
