package markdown

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestHTML(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"":                                    "",
		"one *two* **three** `four` ~~five~~": "<p>one <em>two</em> <strong>three</strong> <code>four</code> <del>five</del></p>\n",
		"# a\n\n## b":                         "<h3>a</h3>\n<h4>b</h4>\n",
		"### only":                            "<h3>only</h3>\n",
		"# a\n\n###### deep":                  "<h3>a</h3>\n<h6>deep</h6>\n",
		"see https://example.org/x":           `<p>see <a href="https://example.org/x" rel="nofollow noreferrer">https://example.org/x</a></p>` + "\n",
		"[here](/ops/debian12)":               `<p><a href="/ops/debian12" rel="nofollow noreferrer">here</a></p>` + "\n",
		"![alt](https://example.org/a.png)":   `<p><a href="https://example.org/a.png" rel="nofollow noreferrer">alt</a></p>` + "\n",
		"![](https://example.org/a.png)":      `<p><a href="https://example.org/a.png" rel="nofollow noreferrer">picture</a></p>` + "\n",
		"[![ci](https://a/b.svg)](https://a)": `<p><a href="https://a" rel="nofollow noreferrer"><em>ci</em></a></p>` + "\n",
		"3. c\n4. d":                          "<ol start=\"3\">\n<li>c</li>\n<li>d</li>\n</ol>\n",
		"a | b\n--|--\n1 | 2":                 "<table>\n<thead>\n<tr>\n<th scope=\"col\">a</th>\n<th scope=\"col\">b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td>1</td>\n<td>2</td>\n</tr>\n</tbody>\n</table>\n",
		"```sh\nls <x>\n```":                  "<pre><code>ls &lt;x&gt;\n</code></pre>\n",
	} {
		if got := HTML(source, 3); got != want {
			t.Errorf("%q\n gives %q\n want  %q", source, got, want)
		}
	}
	if long := HTML(strings.Repeat("*<x>*", maxSource), 3); !strings.HasPrefix(long, "<pre>*&lt;x&gt;*") {
		t.Errorf("a text that is too long: %.40q", long)
	}
}

// What others have broken renderers with.
var hostile = []string{
	`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `[x](javascript:alert(1))`, `[x](JaVaScRiPt:alert(1))`, "[x](java\nscript:alert(1))",
	`[x](data:text/html;base64,PHNjcmlwdD4=)`, `![x](javascript:alert(1))`, `![x"onerror="alert(1)](https://x/"onerror="alert(1))`,
	`[x](https://x/"onclick="alert(1) "title" onclick=alert(1))`, `<javascript:alert(1)>`, `<a href="javascript:alert(1)">x</a>`,
	`[x]: javascript:alert(1)` + "\n\n[x]", "<div style=\"position:fixed\">x</div>", "<svg/onload=alert(1)>", "`<img src=x onerror=alert(1)>`",
	"# <script>alert(1)</script>", "|a|\n|-|\n|<svg onload=alert(1)>|", "<!--><img src=x onerror=alert(1)>-->", "[x](vbscript:x)", "<form action=/logout method=post>",
	"<p id=main>", "&lt;script&gt;alert(1)&lt;/script&gt;", "[a](&#106;avascript:alert(1))", "https://x/<script>alert(1)</script>",
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for _, source := range hostile {
		harmless(t, source)
	}
}

func harmless(t *testing.T, source string) {
	t.Helper()
	out := HTML(source, 3)
	root, err := html.Parse(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "img", "svg", "iframe", "object", "embed", "form", "input", "style", "link", "meta", "base", "div", "h1", "h2":
			t.Errorf("%q became a <%s>: %s", source, n.Data, out)
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "href" && safe(a.Val), a.Key == "rel", a.Key == "start", a.Key == "scope":
			default:
				t.Errorf("%q became %s=%q: %s", source, a.Key, a.Val, out)
			}
		}
	}
}

// safe tells whether a browser takes a link for one to a page or a mail address.
func safe(href string) bool {
	scheme, _, found := strings.Cut(strings.ToLower(strings.TrimSpace(href)), ":")
	return !found || strings.ContainsAny(scheme, "/?#") || scheme == "http" || scheme == "https" || scheme == "mailto"
}

func FuzzHTML(f *testing.F) {
	for _, source := range hostile {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) { harmless(t, source) })
}
