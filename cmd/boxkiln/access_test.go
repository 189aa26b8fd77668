package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestUsersOnBothSides: what manages access does the same on the database, through the socket and over TCP.
func TestUsersOnBothSides(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	accounts := func(org, user string, more ...string) {
		t.Helper()
		run := func(args ...string) result { t.Helper(); return b.run(append(args, more...)...) }
		run("org", "create", org).wants(t, exitOK)
		run("user", "create", user, "--scope", "read").wants(t, exitOK) // standard input is empty: no password
		run("org", "member", "set", org, user, "write").wants(t, exitOK)
		run("user", "ls").wants(t, exitOK, user, org+"=write")
		run("org", "ls").wants(t, exitOK, org, user+"=write")
		run("token", "create", "laptop", "--user", user).wants(t, exitOK, "bxk_", "permits what "+user+" may do")
		run("token", "create", "ci", "--org", org+"=write").wants(t, exitOK, "bxk_", "permits "+org+"=write")
		run("token", "ls").wants(t, exitOK, "laptop", user, org+"=write")
		run("audit", "ls", "--subject", org).wants(t, exitOK, "org.create", "org.member")
		run("audit", "verify").wants(t, exitOK, "as they were written")
		run("org", "member", "rm", org, user).wants(t, exitOK)
		run("user", "rm", user).wants(t, exitOK)
		run("org", "rm", org).wants(t, exitOK)
		run("org", "rm", org).wants(t, exitFailed, "no such organisation")
		run("user", "passwd", user).wants(t, exitFailed, "no such user")
		run("user", "create", "eve", "--scope", "god").wants(t, exitFailed, "god")
	}
	accounts("acme", "ada")
	b.run("audit", "ls").wants(t, exitOK, "command line")
	admin := b.token("admin", "chief")
	d := b.serve()
	accounts("other", "bob")
	b.run("audit", "ls").wants(t, exitOK, "socket")
	b.env["BOXKILN_TOKEN"] = admin
	accounts("third", "cyd", "--server", d.url)
	b.run("audit", "ls", "--limit", "1", "--json").wants(t, exitOK, `"token chief"`)
	b.run("token", "create", "x", "--org", "acme").wants(t, exitFailed, "acme=write")
}

var firstToken = regexp.MustCompile(`first administrator, shown only now: (bxk_\S+)\n`)

// TestServePrivate: the token that the first start prints opens a private daemon, and the next start prints none.
func TestServePrivate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve("--private")
	found := firstToken.FindStringSubmatch(d.stdout.text())
	if found == nil {
		t.Fatalf("no token: %q", d.stdout.text())
	}
	if res, _ := d.get("/acme/solo", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("Vagrant without a token: %s", res.Status)
	}
	if res, text := d.get("/builds", http.Header{"Accept": {"text/html"}}); res.Request.URL.Path != "/login" || !strings.Contains(text, "Log in") {
		t.Errorf("a browser is at %s", res.Request.URL)
	}
	if res, _ := d.get("/builds?access_token="+found[1], nil); res.StatusCode != http.StatusOK {
		t.Errorf("with the first token: %s", res.Status)
	}
	if strings.Contains(d.stderr.text(), found[1]) {
		t.Error("the log has the token")
	}
	d.stop()
	d = b.serve()
	if firstToken.MatchString(d.stdout.text()) {
		t.Error("the second start made a token again")
	}
}
