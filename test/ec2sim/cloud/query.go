package cloud

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Error is an error as the services tell it.
type Error struct {
	Status        int
	Code, Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// problem is an error of the caller's making.
func problem(code, format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf(format, args...)}
}

// fail answers with an error of the Query protocol.
func fail(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Status: http.StatusInternalServerError, Code: "InternalError", Message: err.Error()}
	}
	type item struct{ Code, Message string }
	body, err := xml.Marshal(struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []item   `xml:"Errors>Error"`
		RequestID string
	}{Errors: []item{{e.Code, e.Message}}, RequestID: uuid.NewString()})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeBody(w, e.Status, append([]byte(xml.Header), body...))
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever went away needs no answer
}

// call is one request of the Query protocol.
type call struct {
	*Cloud
	params
	scope  scope
	region *region
}

// action answers a call, under the cloud's lock. Its result is the content of the answer.
type action func(c *call) (any, error)

// protocols are the services of the Query protocol.
var protocols = map[string]struct {
	namespace string
	render    func(name, namespace string, content any) ([]byte, error)
	actions   map[string]action
}{
	"ec2": {"http://ec2.amazonaws.com/doc/2016-11-15/", answer, ec2Actions},
	"sts": {"https://sts.amazonaws.com/doc/2011-06-15/", stsAnswer, stsActions},
}

// query answers a request of the Query protocol, whose form is parsed.
func (c *Cloud) query(w http.ResponseWriter, r *http.Request, s scope) {
	protocol := protocols[s.service]
	name := r.Form.Get("Action")
	out, err := c.act(name, s, r, protocol.actions)
	if err != nil {
		c.cfg.Log.Info("refused", "action", name, "region", s.region, "err", err)
		fail(w, err)
		return
	}
	c.cfg.Log.Info("done", "action", name, "region", s.region)
	body, err := protocol.render(name, protocol.namespace, out)
	if err != nil {
		fail(w, err)
		return
	}
	writeBody(w, http.StatusOK, body)
}

func (c *Cloud) act(name string, s scope, r *http.Request, actions map[string]action) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do, ok := actions[name]
	if !ok {
		return nil, problem("InvalidAction", "The action %s is not valid for this web service.", name)
	}
	reg, err := c.admit(name, s, r)
	if err != nil {
		return nil, err
	}
	p := params{r.Form}
	if p.yes("DryRun") {
		return nil, &Error{Status: http.StatusPreconditionFailed, Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set."}
	}
	return do(&call{c, p, s, reg})
}

// answer writes <NAMEResponse xmlns="..."><requestId/>CONTENT</NAMEResponse>, where CONTENT are the elements of a struct.
func answer(name, namespace string, content any) ([]byte, error) {
	inner, err := elements(content)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s<%sResponse xmlns=%q><requestId>%s</requestId>%s</%[2]sResponse>", xml.Header, name, namespace, uuid.NewString(), inner), nil
}

// stsAnswer is the same as STS writes it.
func stsAnswer(name, namespace string, content any) ([]byte, error) {
	inner, err := elements(content)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s<%sResponse xmlns=%q><%[2]sResult>%[4]s</%[2]sResult><ResponseMetadata><RequestId>%[5]s</RequestId></ResponseMetadata></%[2]sResponse>",
		xml.Header, name, namespace, inner, uuid.NewString()), nil
}

// elements are those of a struct, without one around them.
func elements(v any) ([]byte, error) {
	var b bytes.Buffer
	err := xml.NewEncoder(&b).EncodeElement(v, xml.StartElement{Name: xml.Name{Local: "x"}})
	return bytes.TrimSuffix(bytes.TrimPrefix(b.Bytes(), []byte("<x>")), []byte("</x>")), err
}

// done is the answer to what only succeeds.
type done struct {
	Return bool `xml:"return"`
}

func ok() (any, error) { return done{true}, nil }

// params are the parameters of a call. Clients send empty ones for what they do not set, so empty is absent.
type params struct{ url.Values }

func (p params) text(name string) string { return p.Get(name) }

func (p params) or(name, fallback string) string { return cmp.Or(p.Get(name), fallback) }

func (p params) yes(name string) bool { return p.Get(name) == "true" }

func (p params) number(name string, fallback int64) (int64, error) {
	text := p.Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, problem("InvalidParameterValue", "Value (%s) for parameter %s is invalid.", text, name)
	}
	return n, nil
}

// must returns a parameter that there has to be.
func (p params) must(name string) (string, error) {
	if v := p.Get(name); v != "" {
		return v, nil
	}
	return "", problem("MissingParameter", "The request must contain the parameter %s", name)
}

// list returns name.1, name.2 ...
func (p params) list(name string) []string {
	var all []string
	for i := 1; ; i++ {
		v, ok := p.Values[name+"."+strconv.Itoa(i)]
		if !ok {
			return all
		}
		if v[0] != "" {
			all = append(all, v[0])
		}
	}
}

// sub returns the parameters below name, without it.
func (p params) sub(name string) params {
	below := url.Values{}
	for k, v := range p.Values {
		if rest, ok := strings.CutPrefix(k, name+"."); ok {
			below[rest] = v
		}
	}
	return params{below}
}

// each returns the parameters below name.1, name.2 ...
func (p params) each(name string) []params {
	var all []params
	for i := 1; ; i++ {
		one := p.sub(name + "." + strconv.Itoa(i))
		if len(one.Values) == 0 {
			return all
		}
		all = append(all, one)
	}
}

// token is what a request with a ClientToken made.
type token struct{ request, made string }

// request is a canonical form of a call's parameters, to compare two with one ClientToken.
func (p params) request() string {
	var keep []string
	for k, v := range p.Values {
		if len(v) > 0 && v[0] != "" {
			keep = append(keep, url.QueryEscape(k)+"="+url.QueryEscape(v[0]))
		}
	}
	slices.Sort(keep)
	return strings.Join(keep, "&")
}

// made is the id of what an earlier call of the same action and ClientToken made, if there was one.
func (c *call) made() (string, error) {
	t, again := c.region.tokens[c.text("Action")+" "+c.text("ClientToken")]
	switch {
	case !again || c.text("ClientToken") == "":
		return "", nil
	case t.request != c.request():
		return "", problem("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
	}
	return t.made, nil
}

// remember keeps what a call made for the next one with its ClientToken.
func (c *call) remember(id string) {
	if t := c.text("ClientToken"); t != "" {
		c.region.tokens[c.text("Action")+" "+t] = token{c.request(), id}
	}
}
