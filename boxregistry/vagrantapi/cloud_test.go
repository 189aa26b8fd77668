package vagrantapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/auth"
)

// Tokens that the people of the tests have.
const (
	admin   = "tok-admin"   // may do everything
	writer  = "tok-writer"  // writes in ops
	reader  = "tok-reader"  // reads in ops
	foreign = "tok-foreign" // writes in another organisation
)

// people is a guard and the accounts behind it, as the daemon has them.
type people struct {
	mu     sync.Mutex
	tokens map[string]auth.Principal
}

func newPeople() *people {
	return &people{tokens: map[string]auth.Principal{
		admin:   {Name: "root", User: "root", Token: 1, Scope: auth.Admin},
		writer:  {Name: "ci", User: "me", Token: 2, Orgs: map[string]auth.Scope{"ops": auth.Write, "me": auth.Write}},
		reader:  {Name: "laptop", Token: 3, Orgs: map[string]auth.Scope{"ops": auth.Read}},
		foreign: {Name: "stranger", Token: 4, Orgs: map[string]auth.Scope{"others": auth.Admin}},
	}}
}

// guard finds a token wherever a client may put it, and says who asks.
func (p *people) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Atlas-Token")
		if _, password, ok := r.BasicAuth(); ok {
			token = password
		} else if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			token = bearer
		} else if q := r.URL.Query().Get("access_token"); q != "" {
			token = q
		}
		p.mu.Lock()
		who, ok := p.tokens[token]
		p.mu.Unlock()
		if ok {
			r = r.WithContext(auth.WithPrincipal(r.Context(), who))
		}
		next.ServeHTTP(w, r)
	})
}

// Login implements Accounts: the user me has the password "secret".
func (p *people) Login(_ context.Context, login, password, description string, _ time.Duration) (string, error) {
	if login != "me" || password != "secret" {
		return "", auth.ErrRefused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	token := fmt.Sprintf("tok-%d", len(p.tokens)+1)
	who := p.tokens[writer]
	who.Name, who.Token = description, int64(len(p.tokens)+1)
	p.tokens[token] = who
	return token, nil
}

// Logout implements Accounts.
func (p *people) Logout(_ context.Context, token int64) error {
	p.revoke(token)
	return nil
}

func (p *people) revoke(token int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for text, who := range p.tokens {
		if who.Token == token {
			delete(p.tokens, text)
		}
	}
}

// Principal implements Principals.
func (p *people) Principal(_ context.Context, token int64) (auth.Principal, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, who := range p.tokens {
		if who.Token == token {
			return who, nil
		}
	}
	return auth.Principal{}, auth.ErrRefused
}

// cloud is a registry with everything behind it.
type cloud struct {
	*bundle
	people *people
}

func newCloud(t *testing.T, change ...func(*Options)) *cloud {
	t.Helper()
	c := &cloud{people: newPeople()}
	o := Options{Accounts: c.people, Principals: c.people, SignKey: []byte("a key of the tests")}
	for _, f := range change {
		f(&o)
	}
	c.bundle = setup(t, o, c.people.guard)
	return c
}

// object is what came back, by its fields.
type object map[string]any

// do sends a request to the API as the holder of a token, with a body that is JSON.
func (c *cloud) do(token, method, path, body string) (int, object) {
	c.t.Helper()
	a := c.send(method, path, body, "Authorization: Bearer "+token, "Content-Type: application/json")
	var o object
	if err := json.Unmarshal([]byte(a.body), &o); err != nil {
		c.t.Fatalf("%s %s: %d, no JSON object: %v\n%s", method, path, a.status, err, a.body)
	}
	return a.status, o
}

// want sends a request and wants status 200.
func (c *cloud) want(token, method, path, body string) object {
	c.t.Helper()
	status, o := c.do(token, method, path, body)
	if status != http.StatusOK {
		c.t.Fatalf("%s %s %s: %d %v", method, path, body, status, o)
	}
	return o
}

// refused sends a request and wants it refused in these words.
func (c *cloud) refused(status int, says, token, method, path, body string) {
	c.t.Helper()
	got, o := c.do(token, method, path, body)
	if got != status || o["success"] != false || !strings.Contains(fmt.Sprint(o["errors"]), says) {
		c.t.Errorf("%s %s %s: %d %v, want %d with %q", method, path, body, got, o, status, says)
	}
}

// upload declares a file and sends a real box for it.
func (c *cloud) upload(token, path, provider, note string) {
	c.t.Helper()
	box := fakeBox(c.t, note)
	c.want(token, "POST", path+"/providers", fmt.Sprintf(`{"provider":{"name":%q}}`, provider))
	to := c.want(token, "GET", path+"/provider/"+provider+"/upload", "")["upload_path"].(string)
	if a := c.send("PUT", to, box); a.status != http.StatusOK {
		c.t.Fatalf("PUT %s: %d %s", to, a.status, a.body)
	}
}

// get digs into an object: "versions.0.status".
func (o object) get(path string) any {
	var at any = map[string]any(o)
	for _, key := range strings.Split(path, ".") {
		switch v := at.(type) {
		case map[string]any:
			at = v[key]
		case []any:
			i := slices.Index([]string{"0", "1", "2", "3"}, key)
			if i < 0 || i >= len(v) {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}
