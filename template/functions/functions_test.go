package functions_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/crypto/bcrypt"

	"github.com/boxkiln/boxkiln/template/functions"
)

// folder makes a template's folder with some files, and a secret outside of it.
func folder(t *testing.T) *functions.Files {
	t.Helper()
	root := t.TempDir()
	base := filepath.Join(root, "t")
	for name, content := range map[string]string{
		"t/hello.txt": "hello", "t/greet.tpl": "hi ${name}${upper(\"!\")}", "t/loop.tpl": "${templatefile(\"loop.tpl\", {})}", "t/http/ks.cfg": "ks",
		"t/http/sub/a.cfg": "a", "t/binary": "\xff\xfe", "t/bad.tpl": "${", "secret": "top", "cwd/here.txt": "here",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	return &functions.Files{Bases: []string{base, filepath.Join(root, "cwd")}, Home: "/home/me"}
}

func evaluator(t *testing.T, files *functions.Files) func(string) (cty.Value, error) {
	t.Helper()
	ctx := &hcl.EvalContext{
		Functions: functions.New(functions.Config{
			Now:     time.Date(2026, 3, 7, 8, 9, 10, 0, time.UTC),
			NewUUID: func() string { return "uuid-1" },
			Files:   files,
		}),
		Variables: map[string]cty.Value{"key": cty.StringVal(testKey(t)), "unknown": cty.UnknownVal(cty.String), "null": cty.NullVal(cty.String)},
	}
	return func(source string) (cty.Value, error) {
		expr, diags := hclsyntax.ParseExpression([]byte(source), "test", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatalf("%s: %v", source, diags)
		}
		v, diags := expr.Value(ctx)
		if diags.HasErrors() {
			return v, diags
		}
		return v, nil
	}
}

var values = map[string]string{ // expression: what it is equal to
	`abs(-1)`: `1`, `ceil(1.2)`: `2`, `floor(1.8)`: `1`, `max(1, 3, 2)`: `3`, `min(1, 3)`: `1`, `pow(2, 3)`: `8`, `log(16, 2)`: `4`,
	`signum(-3)`: `-1`, `parseint("ff", 16)`: `255`, `sum([1, "2", 3])`: `6`, `sum(toset([1, 2]))`: `3`,
	`alltrue([true, true])`: `true`, `alltrue([true, false])`: `false`, `alltrue([])`: `true`, `anytrue([false, true])`: `true`, `anytrue([])`: `false`,
	`can(regex("a", "b"))`: `false`, `can(1)`: `true`, `try(regex("a", "b"), "x")`: `"x"`, `convert("1", number)`: `1`,
	`chomp("a\n")`: `"a"`, `format("%03d-%s", 7, "x")`: `"007-x"`, `formatlist("a%s", ["b", "c"])`: `tolist(["ab", "ac"])`, `indent(2, "a\nb")`: `"a\n  b"`,
	`join("-", ["a", "b"])`: `"a-b"`, `split(",", "a,b")`: `tolist(["a", "b"])`, `lower("AB")`: `"ab"`, `upper("ab")`: `"AB"`, `title("a b")`: `"A B"`,
	`strrev("abc")`: `"cba"`, `substr("abcd", 1, 2)`: `"bc"`, `trim("xax", "x")`: `"a"`, `trimprefix("ab", "a")`: `"b"`, `trimsuffix("ab", "b")`: `"a"`,
	`trimspace(" a ")`: `"a"`, `replace("aXb", "X", "-")`: `"a-b"`, `regex("[0-9]+", "a12")`: `"12"`, `regexall("[0-9]", "a1b2")`: `tolist(["1", "2"])`,
	`regex_replace("a1", "[0-9]", "#")`: `"a#"`, `startswith("abc", "ab")`: `true`, `endswith("abc", "ab")`: `false`, `strcontains("abc", "b")`: `true`,
	`chunklist(["a", "b", "c"], 2)`: `tolist([tolist(["a", "b"]), tolist(["c"])])`, `coalesce("", null, "x")`: `"x"`, `coalesce(null, 2)`: `2`,
	`coalescelist([], ["a"])`: `["a"]`, `compact(["a", ""])`: `tolist(["a"])`, `concat(["a"], ["b"])`: `["a", "b"]`, `contains(["a"], "a")`: `true`,
	`distinct(["a", "a"])`: `tolist(["a"])`, `element(["a", "b"], 3)`: `"b"`, `flatten([["a"], ["b"]])`: `["a", "b"]`, `index(["a", "b"], "b")`: `1`,
	`index(tolist(["a", "b"]), "a")`: `0`, `keys({b = 1, a = 2})`: `["a", "b"]`, `length("äb")`: `2`, `length(["a"])`: `1`, `length({a = 1})`: `1`,
	`length(toset(["a", "a"]))`: `1`, `lookup({a = "x"}, "b", "y")`: `"y"`, `merge({a = 1}, {b = 2})`: `{a = 1, b = 2}`, `range(3)`: `tolist([0, 1, 2])`,
	`reverse(["a", "b"])`: `["b", "a"]`, `setintersection(["a", "b"], ["b"])`: `toset(["b"])`, `setunion(["a"], ["b"])`: `toset(["a", "b"])`,
	`setsubtract(["a", "b"], ["b"])`: `toset(["a"])`, `setproduct(["a"], ["b"])`: `tolist([["a", "b"]])`, `slice(["a", "b", "c"], 1, 2)`: `["b"]`,
	`sort(["b", "a"])`: `tolist(["a", "b"])`, `transpose({a = ["x", "y"], b = ["x"]})`: `tomap({x = tolist(["a", "b"]), y = tolist(["a"])})`,
	`transpose({})`: `transpose({a = []})`, `values({a = 1})`: `[1]`, `zipmap(["a"], [1])`: `{a = 1}`,
	`tobool("true")`: `true`, `tonumber("1")`: `1`, `tostring(1)`: `"1"`, `tolist(["a"])[0]`: `"a"`, `tomap({a = "b"})["a"]`: `"b"`, `tolist(toset(["a", "a"]))[0]`: `"a"`,
	`base64encode("hi")`: `"aGk="`, `base64decode("aGk=")`: `"hi"`, `urlencode("a b&")`: `"a+b%26"`, `urldecode("a+b%26")`: `"a b&"`,
	`textencodebase64("hi", "UTF-16LE")`: `"aABpAA=="`, `textdecodebase64("aABpAA==", "UTF-16LE")`: `"hi"`,
	`csvdecode("a,b\n1,2")[0].b`: `"2"`, `jsondecode("{\"a\":[1]}").a[0]`: `1`, `jsonencode({a = 1})`: `"{\"a\":1}"`, `yamldecode("a: 1").a`: `1`,
	`yamlencode({a = 1})`: `"\"a\": 1\n"`, `md5("")`: `"d41d8cd98f00b204e9800998ecf8427e"`, `sha1("")`: `"da39a3ee5e6b4b0d3255bfef95601890afd80709"`,
	`sha256("")`:               `"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`,
	`substr(sha512(""), 0, 8)`: `"cf83e135"`, `uuidv5("dns", "www.example.com")`: `"2ed6657d-e927-568b-95e1-2665a8aea6a2"`,
	`uuidv5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com")`: `uuidv5("dns", "www.example.com")`,
	`cidrhost("10.1.2.240/28", 3)`:                                      `"10.1.2.243"`, `cidrhost("10.0.0.0/8", -1)`: `"10.255.255.255"`, `cidrhost("fd00::/64", 18)`: `"fd00::12"`,
	`cidrnetmask("172.16.0.0/12")`: `"255.240.0.0"`, `cidrsubnet("172.16.0.0/12", 4, 2)`: `"172.18.0.0/16"`, `cidrsubnet("fd00::/48", 16, 162)`: `"fd00:0:0:a2::/64"`,
	`cidrsubnets("10.1.0.0/16", 4, 4, 8, 4)`: `tolist(["10.1.0.0/20", "10.1.16.0/20", "10.1.32.0/24", "10.1.48.0/20"])`, `length(cidrsubnets("10.0.0.0/8"))`: `0`,
	`formatdate("YYYY-MM-DD", "2026-03-07T08:09:10Z")`: `"2026-03-07"`, `timeadd("2026-03-07T08:09:10Z", "1h")`: `"2026-03-07T09:09:10Z"`,
	`timestamp()`: `"2026-03-07T08:09:10Z"`, `legacy_isotime()`: `"2026-03-07T08:09:10Z"`, `legacy_isotime("2006")`: `"2026"`, `legacy_strftime("%Y%m")`: `"202603"`, `uuidv4()`: `"uuid-1"`,
	`basename("/a/b.txt")`: `"b.txt"`, `dirname("/a/b.txt")`: `"/a"`, `abspath("/a/../b")`: `"/b"`, `basename(abspath("x"))`: `"x"`, `pathexpand("~/x")`: `"/home/me/x"`, `pathexpand("x")`: `"x"`, `pathexpand("~")`: `"/home/me"`,
	`file("hello.txt")`: `"hello"`, `file("here.txt")`: `"here"`, `filebase64("binary")`: `"//4="`, `fileexists("hello.txt")`: `true`, `fileexists("nothing")`: `false`,
	`fileset("http", "**")`: `toset(["ks.cfg", "sub/a.cfg"])`, `fileset("http", "*.cfg")`: `toset(["ks.cfg"])`, `length(fileset(".", "*.zip"))`: `0`,
	`templatefile("greet.tpl", {name = "you"})`: `"hi you!"`,
}

func TestValues(t *testing.T) {
	t.Parallel()
	eval := evaluator(t, folder(t))
	for expression, want := range values {
		if want == "" {
			continue
		}
		got, err := eval(expression)
		wanted, wantErr := eval(want)
		if err != nil || wantErr != nil {
			t.Errorf("%s: %v %v", expression, err, wantErr)
			continue
		}
		got, _ = got.UnmarkDeep()
		wanted, _ = wanted.UnmarkDeep()
		if !got.RawEquals(wanted) {
			t.Errorf("%s = %#v, want %#v", expression, got, wanted)
		}
	}
}

// Every function of the table is called in this file.
func TestEveryFunctionIsTested(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("functions_test.go")
	if err != nil {
		t.Fatal(err)
	}
	table := functions.New(functions.Config{Files: folder(t)})
	for name := range table {
		if !bytes.Contains(source, []byte("`"+name+"(")) && !bytes.Contains(source, []byte("("+name+"(")) {
			t.Errorf("%s is not tested", name)
		}
	}
	if len(table) < 90 {
		t.Errorf("only %d functions", len(table))
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	eval := evaluator(t, folder(t))
	for expression, want := range map[string]string{
		`vault("a", "b")`:                            "needs a client for HashiCorp Vault",
		`consul_key("a")`:                            "needs a client for Consul",
		`aws_secretsmanager("a", null)`:              "needs a client for AWS Secrets Manager",
		`aws_secretsmanager_raw("a")`:                "needs a client for AWS Secrets Manager",
		`file("nothing")`:                            "looked for",
		`file("../secret")`:                          "outside the template's folder",
		`file("/etc/passwd")`:                        "outside the template's folder",
		`file("link")`:                               "escapes",
		`fileexists("link")`:                         "escapes",
		`fileset("..", "*")`:                         "outside the template's folder",
		`fileset(".", "[")`:                          "not a pattern",
		`file("http")`:                               "not a regular file",
		`fileexists("http")`:                         "not a regular file",
		`file("binary")`:                             "filebase64 reads any file",
		`pathexpand("~other/x")`:                     "another user's home",
		`templatefile("greet.tpl", {})`:              "name",
		`templatefile("greet.tpl", "x")`:             "must be an object",
		`templatefile("loop.tpl", {})`:               "cannot be called inside",
		`templatefile("bad.tpl", {})`:                "bad.tpl",
		`index(["a"], "b")`:                          "does not hold",
		`index("a", "b")`:                            "a list is needed",
		`length(1)`:                                  "a string or a collection is needed",
		`coalesce("", null)`:                         "null or empty",
		`sum([])`:                                    "at least one number",
		`sum(["x"])`:                                 "must be a number",
		`transpose({a = [null]})`:                    "null",
		`base64decode("?")`:                          "not base64",
		`base64decode("//4=")`:                       "not UTF-8",
		`textencodebase64("a", "klingon")`:           "klingon",
		`textencodebase64("ä", "us-ascii")`:          "",
		`textdecodebase64("?", "UTF-8")`:             "not base64",
		`uuidv5("x", "y")`:                           "neither dns",
		`cidrhost("10.0.0.0/30", 4)`:                 "has no address number 4",
		`cidrhost("10.0.0.0", 4)`:                    "is not a network",
		`cidrhost("10.0.0.0/30", 0.5)`:               "whole number",
		`cidrnetmask("fd00::/8")`:                    "not IPv4",
		`cidrsubnet("10.0.0.0/30", 4, 0)`:            "cannot be made 4 bits longer",
		`cidrsubnet("10.0.0.0/8", 1, 2)`:             "do not hold the number 2",
		`cidrsubnets("10.0.0.0/30", 1, 1, 1)`:        "no room",
		`cidrsubnets("255.255.255.254/31", 1, 1, 1)`: "no room",
		`bcrypt("x", 99)`:                            "cost",
		`bcrypt("x", "y")`:                           "a number is needed",
		`bcrypt()`:                                   "takes a string",
		`legacy_isotime("a", "b")`:                   "one format",
		`legacy_strftime()`:                          "one format",
		`rsadecrypt("?", key)`:                       "not base64",
		`rsadecrypt("", "no key")`:                   "not PEM",
		`rsadecrypt("aGk=", key)`:                    "not encrypted for this key",
	} {
		_, err := eval(expression)
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", expression, err, want)
		}
	}
}

func TestAnywhereReadsOutside(t *testing.T) {
	t.Parallel()
	files := folder(t)
	files.Anywhere = true
	var seen []string
	files.Seen = func(path string) { seen = append(seen, path) }
	eval := evaluator(t, files)
	for _, expression := range []string{`file("../secret")`, `file("link")`} {
		if v, err := eval(expression); err != nil || v.AsString() != "top" {
			t.Errorf("%s: %v", expression, err)
		}
	}
	if len(seen) == 0 || filepath.Base(seen[0]) != "secret" {
		t.Errorf("seen: %v", seen)
	}
}

func TestVolatileMarksSpread(t *testing.T) {
	t.Parallel()
	eval := evaluator(t, folder(t))
	for expression, want := range map[string][]functions.Volatile{
		`upper("a-${timestamp()}")`:                            {"timestamp"},
		`formatdate("YYYY", timestamp())`:                      {"timestamp"},
		`[uuidv4(), {a = legacy_strftime("%Y")}]`:              {"legacy_strftime", "uuidv4"},
		`bcrypt("x", 4)`:                                       {"bcrypt"},
		`{for k, v in {a = timestamp()} : k => v}`:             {"timestamp"},
		`templatefile("greet.tpl", {name = legacy_isotime()})`: {"legacy_isotime"},
		`upper("a")`: nil,
	} {
		v, err := eval(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		_, marks := v.UnmarkDeep()
		var got []functions.Volatile
		for m := range marks {
			got = append(got, m.(functions.Volatile))
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", expression, diff)
		}
	}
}

func TestUnknownValuesPass(t *testing.T) {
	t.Parallel()
	eval := evaluator(t, folder(t))
	for _, expression := range []string{`length(unknown)`, `coalesce(unknown, "x")`, `anytrue([false, tobool(unknown)])`, `index([unknown], "a")`, `templatefile(unknown, {})`} {
		if v, err := eval(expression); err != nil || v.IsWhollyKnown() {
			t.Errorf("%s = %#v, %v", expression, v, err)
		}
	}
	if v, err := eval(`alltrue([unknown == "x", false])`); err != nil || v.True() {
		t.Error("a known false decides", err)
	}
}

func TestBcryptAndGzip(t *testing.T) {
	t.Parallel()
	eval := evaluator(t, folder(t))
	v, err := eval(`bcrypt("secret", 4)`)
	if err != nil {
		t.Fatal(err)
	}
	v, _ = v.Unmark()
	if err := bcrypt.CompareHashAndPassword([]byte(v.AsString()), []byte("secret")); err != nil {
		t.Error(err)
	}
	if v, err = eval(`base64gzip("hello")`); err != nil {
		t.Fatal(err)
	}
	packed, _ := base64.StdEncoding.DecodeString(v.AsString())
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(r); err != nil || string(out) != "hello" {
		t.Errorf("%q %v", out, err)
	}
}

func TestRSADecrypt(t *testing.T) {
	t.Parallel()
	block, _ := pem.Decode([]byte(testKey(t)))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 the counterpart of what rsadecrypt undoes
	secret, err := rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, []byte("hush"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := evaluator(t, folder(t))(`rsadecrypt("` + base64.StdEncoding.EncodeToString(secret) + `", key)`)
	if err != nil || v.AsString() != "hush" {
		t.Error(v, err)
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	v, err := functions.Env(func(name string) string { return "value of " + name }).Call([]cty.Value{cty.StringVal("HOME")})
	if err != nil || v.AsString() != "value of HOME" {
		t.Error(v, err)
	}
}

var generated = func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}()

func testKey(t *testing.T) string { t.Helper(); return generated }
