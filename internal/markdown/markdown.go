// Package markdown turns what makers of boxes write, descriptions and release notes in Markdown, into HTML that may be put
// into a page.
//
// It is GitHub's dialect, as people know it from READMEs, without what a page of a registry cannot trust: HTML in the text
// is left out, links lead to the web or to a mail address, and a picture becomes a link to it, for a page that shows
// private boxes loads nothing from elsewhere. goldmark makes the HTML; bluemonday lets through what is on its list, so
// that a mistake of the former does not become a hole.
package markdown

import (
	"bytes"
	"html"
	"regexp"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// maxSource bounds what is parsed, in bytes; a longer text is shown as it was written.
const maxSource = 256 << 10

// HTML renders Markdown. Its highest headings become headings of that level, 1 to 6, so that they fit below those of the
// page around them. The result is safe in a page of ours; it is empty for an empty text.
func HTML(source string, level int) string {
	if source == "" {
		return ""
	}
	if len(source) > maxSource {
		return "<pre>" + html.EscapeString(source) + "</pre>\n"
	}
	var out bytes.Buffer
	if err := renderers[min(max(level, 1), 6)-1].Convert([]byte(source), &out); err != nil { // a buffer takes everything
		return "<p>" + html.EscapeString(source) + "</p>\n"
	}
	return string(policy.SanitizeBytes(out.Bytes()))
}

// renderers are those of each level. They may be used from several goroutines.
var renderers = [...]goldmark.Markdown{newRenderer(1), newRenderer(2), newRenderer(3), newRenderer(4), newRenderer(5), newRenderer(6)}

func newRenderer(level int) goldmark.Markdown {
	tame := util.Prioritized(tamer{level: level}, 100)
	return goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough, extension.Linkify),
		goldmark.WithParserOptions(parser.WithASTTransformers(tame)))
}

// policy is everything that the HTML may hold.
var policy = func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "blockquote",
		"ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowAttrs("scope").Matching(regexp.MustCompile(`^col$`)).OnElements("th")
	p.AllowAttrs("href").OnElements("a")
	p.AllowURLSchemes("http", "https", "mailto")
	p.AllowRelativeURLs(true)
	p.RequireParseableURLs(true)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	return p
}()

// tamer changes a parsed text so that it fits into a page.
type tamer struct{ level int }

// Transform implements parser.ASTTransformer.
func (t tamer) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	highest := 6
	var pictures []*ast.Image
	// The function returns no error, so Walk does not.
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Heading:
			highest = min(highest, n.Level)
		case *ast.Image:
			if entering {
				pictures = append(pictures, n)
			}
		}
		return ast.WalkContinue, nil
	})
	for _, p := range pictures {
		asLink(p)
	}
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if h, ok := n.(*ast.Heading); ok && entering {
			h.Level = min(6, h.Level-highest+t.level)
		}
		if cell, ok := n.(*extast.TableCell); ok && entering && cell.Parent().Kind() == extast.KindTableHeader {
			cell.SetAttributeString("scope", []byte("col"))
		}
		return ast.WalkContinue, nil
	})
}

// asLink puts what instead returns in the place of a picture, with the picture's words.
func asLink(p *ast.Image) {
	parent := p.Parent()
	if parent == nil {
		return
	}
	words := instead(p)
	for child := p.FirstChild(); child != nil; child = p.FirstChild() {
		words.AppendChild(words, child)
	}
	if words.ChildCount() == 0 {
		words.AppendChild(words, ast.NewString([]byte("picture")))
	}
	parent.ReplaceChild(parent, p, words)
}

// instead is a link to a picture; links do not nest, so that inside another one it is the words alone.
func instead(p *ast.Image) ast.Node {
	if linked(p) {
		return ast.NewEmphasis(1)
	}
	link := ast.NewLink()
	link.Destination = p.Destination
	return link
}

func linked(n ast.Node) bool {
	for p := n.Parent(); p != nil; p = p.Parent() {
		if p.Kind() == ast.KindLink {
			return true
		}
	}
	return false
}
