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

// query answers a request of the Query protocol.
func (c *Cloud) query(w http.ResponseWriter, r *http.Request, s scope, namespace string, actions map[string]action) {
	if err := r.ParseForm(); err != nil {
		fail(w, problem("MalformedQueryString", "%v", err))
		return
	}
	p := params{r.Form}
	name := p.text("Action")
	out, err := c.act(name, s, p, actions)
	if err != nil {
		c.cfg.Log.Info("refused", "action", name, "region", s.region, "err", err)
		fail(w, err)
		return
	}
	c.cfg.Log.Info("done", "action", name, "region", s.region)
	render := answer
	if s.service == "sts" {
		render = stsAnswer
	}
	body, err := render(name, namespace, out)
	if err != nil {
		fail(w, err)
		return
	}
	writeBody(w, http.StatusOK, body)
}

func (c *Cloud) act(name string, s scope, p params, actions map[string]action) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[name]++
	do, ok := actions[name]
	switch {
	case !ok:
		return nil, problem("InvalidAction", "The action %s is not valid for this web service.", name)
	case !slices.Contains(known, s.region):
		return nil, &Error{Status: http.StatusUnauthorized, Code: "AuthFailure", Message: "AWS was not able to validate the provided access credentials"}
	}
	if err := c.fault(name, s); err != nil {
		return nil, err
	}
	if p.yes("DryRun") {
		return nil, &Error{Status: http.StatusPreconditionFailed, Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set."}
	}
	return do(&call{c, p, s, c.region(s.region)})
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

// tagged returns the tags that a call gives to a new object of a type.
func (p params) tagged(kind string) tags {
	t := tags{}
	for _, spec := range p.each("TagSpecification") {
		if spec.text("ResourceType") == kind {
			for _, one := range spec.each("Tag") {
				t[one.text("Key")] = one.text("Value")
			}
		}
	}
	return t
}
