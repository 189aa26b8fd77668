package api_test

import (
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/audit"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// document is what the tests read of openapi.yaml.
type document struct {
	Paths      map[string]map[string]any
	Components struct {
		Schemas map[string]schema
	}
}

type schema struct {
	AllOf      []map[string]string `yaml:"allOf"`
	Properties map[string]any
	Enum       []string
}

// operation is a method of a path.
type operation struct {
	ID    string `yaml:"operationId"`
	Scope string `yaml:"x-scope"`
}

func readDocument(t *testing.T) (document, string) {
	t.Helper()
	data, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := yaml.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return d, string(data)
}

// operations lists the document's as "GET /v1/info".
func (d document) operations(t *testing.T) map[string]operation {
	t.Helper()
	all := map[string]operation{}
	for path, item := range d.Paths {
		for method, value := range item {
			if method == "parameters" {
				continue
			}
			data, err := yaml.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			var op operation
			if err := yaml.Unmarshal(data, &op); err != nil {
				t.Fatal(err)
			}
			all[strings.ToUpper(method)+" "+path] = op
		}
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

var ginParameter = regexp.MustCompile(`:([a-z]+)`)

func routes() []string {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	(&api.Server{}).Mount(r)
	var list []string
	for _, route := range r.Routes() {
		list = append(list, route.Method+" "+ginParameter.ReplaceAllString(route.Path, "{$1}"))
	}
	slices.Sort(list)
	return list
}

func TestEveryRouteIsInTheDocument(t *testing.T) {
	t.Parallel()
	d, _ := readDocument(t)
	if diff := cmp.Diff(routes(), sortedKeys(d.operations(t))); diff != "" {
		t.Error("routes (-) and openapi.yaml (+) differ:", diff)
	}
}

// The document says which scope an operation needs, and the server needs no other.
func TestScopesAreAsDocumented(t *testing.T) {
	t.Parallel()
	d, _ := readDocument(t)
	k := newKiln(t)
	seen := map[string]bool{}
	for name, op := range d.operations(t) {
		if op.ID == "" || seen[op.ID] {
			t.Errorf("%s has the id %q", name, op.ID)
		}
		seen[op.ID] = true
		method, path, _ := strings.Cut(name, " ")
		path = regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "none")
		for _, have := range []auth.Scope{"", auth.Read, auth.Write, auth.Admin} {
			status := k.status(t, method, path, k.token(t, have))
			want := 0
			switch {
			case have == "":
				want = http.StatusUnauthorized
			case !have.Permits(auth.Scope(op.Scope)):
				want = http.StatusForbidden
			}
			refused := status == http.StatusUnauthorized || status == http.StatusForbidden
			if (want != 0 && status != want) || (want == 0 && refused) {
				t.Errorf("%s with scope %q: %d, and the document asks for %s", name, have, status, op.Scope)
			}
		}
	}
}

// Each schema has the fields of the Go type that the handlers send or read.
func TestSchemasAreThoseOfTheTypes(t *testing.T) {
	t.Parallel()
	d, _ := readDocument(t)
	for name, v := range map[string]any{
		"ErrorReply": wire.ErrorReply{}, "Error": wire.Error{}, "Info": wire.Info{}, "MissingRequest": wire.MissingRequest{},
		"MissingReply": wire.MissingReply{}, "SubmitRequest": wire.SubmitRequest{}, "SubmitReply": wire.SubmitReply{},
		"ExplainRequest": wire.ExplainRequest{}, "ExplainReply": wire.ExplainReply{}, "Explanation": wire.Explanation{},
		"StageStatus": build.StageStatus{}, "Stage": build.Stage{}, "Ingredient": build.Ingredient{},
		"BuildList": wire.BuildList{}, "BuildReply": wire.BuildReply{}, "Record": build.Record{}, "Needs": build.Needs{},
		"StepRecord": build.StepRecord{}, "Event": build.Event{}, "Timeline": wire.Timeline{}, "Moment": build.Moment{},
		"KeysRequest": wire.KeysRequest{}, "KeysReply": wire.KeysReply{}, "ShellInput": wire.ShellInput{},
		"ShellSize": wire.ShellSize{}, "ShellOutput": wire.ShellOutput{}, "CancelReply": wire.CancelReply{},
		"AnswerRequest": wire.AnswerRequest{}, "OutputList": wire.OutputList{}, "Output": wire.Output{},
		"Checkpoint": wire.Checkpoint{}, "CheckpointHost": hypervisor.Host{},
		"CheckpointList": wire.CheckpointList{}, "PruneRequest": wire.PruneRequest{}, "PruneReply": wire.PruneReply{},
		"NamedFile": wire.NamedFile{}, "System": sbom.System{}, "Package": sbom.Package{}, "PackageList": wire.PackageList{},
		"PackageChange": sbom.Change{}, "PackageChanges": sbom.Changes{}, "PackageDiff": wire.PackageDiff{},
		"Discrepancy": sbom.Discrepancy{}, "Parity": sbom.Parity{}, "ParityReport": wire.ParityReport{},
		"ImportRequest": wire.ImportRequest{}, "Import": wire.Import{}, "ImportList": wire.ImportList{},
		"ImportEvent": wire.ImportEvent{}, "ImportSummary": upstream.Summary{},
		"FsckRequest": wire.FsckRequest{}, "FsckEvent": wire.FsckEvent{}, "FsckFinding": wire.FsckFinding{}, "FsckReport": wire.FsckReport{},
		"BoxSummary": wire.BoxSummary{}, "BoxList": wire.BoxList{}, "Box": wire.Box{}, "BoxVersion": wire.BoxVersion{},
		"BoxFile": wire.BoxFile{}, "BoxEdit": wire.BoxEdit{}, "VersionEdit": wire.VersionEdit{}, "Retention": wire.Retention{},
		"RetentionReply": wire.RetentionReply{}, "ReleaseRequest": wire.ReleaseRequest{}, "RevokeRequest": wire.RevokeRequest{},
		"BoxDownload": wire.BoxDownload{}, "BoxDownloadList": wire.BoxDownloadList{}, "TrashList": wire.TrashList{},
		"UploadRequest": wire.UploadRequest{}, "Upload": wire.Upload{},
		"TokenRequest": wire.TokenRequest{}, "TokenReply": wire.TokenReply{}, "TokenList": wire.TokenList{}, "Token": auth.Token{},
		"UserRequest": wire.UserRequest{}, "PasswordRequest": wire.PasswordRequest{}, "UserList": wire.UserList{}, "User": auth.User{},
		"OrgRequest": wire.OrgRequest{}, "OrgList": wire.OrgList{}, "Org": auth.Org{}, "Member": auth.Member{}, "MemberRequest": wire.MemberRequest{},
		"AuditList": wire.AuditList{}, "AuditEntry": audit.Entry{}, "AuditReply": wire.AuditReply{},
	} {
		s, ok := d.Components.Schemas[name]
		if !ok {
			t.Errorf("there is no schema %s", name)
			continue
		}
		if diff := cmp.Diff(jsonFields(reflect.TypeOf(v)), sortedKeys(s.Properties)); diff != "" {
			t.Errorf("%s: type (-) and schema (+) differ: %s", name, diff)
		}
	}
}

// jsonFields are the names under which a struct's own fields are sent.
func jsonFields(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && f.IsExported() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestCodesAndStatesAreInTheDocument(t *testing.T) {
	t.Parallel()
	d, text := readDocument(t)
	var codes []string
	for code, status := range wire.Status {
		codes = append(codes, string(code))
		if !strings.Contains(text, fmt.Sprintf("%s %d", code, status)) {
			t.Errorf("the document does not say that %s is %d", code, status)
		}
	}
	slices.Sort(codes)
	data, err := yaml.Marshal(d.Components.Schemas["Error"].Properties["code"])
	if err != nil {
		t.Fatal(err)
	}
	var code schema
	if err := yaml.Unmarshal(data, &code); err != nil {
		t.Fatal(err)
	}
	slices.Sort(code.Enum)
	if diff := cmp.Diff(codes, code.Enum); diff != "" {
		t.Error(diff)
	}
	states := []build.State{build.Queued, build.Running, build.Canceling, build.Succeeded, build.Failed, build.Errored, build.Canceled, build.Interrupted}
	if diff := cmp.Diff(fmt.Sprint(states), fmt.Sprint(d.Components.Schemas["State"].Enum)); diff != "" {
		t.Error(diff)
	}
}

var reference = regexp.MustCompile(`\$ref: "#/components/schemas/(\w+)"`)

func TestEverySchemaExistsAndIsUsed(t *testing.T) {
	t.Parallel()
	d, text := readDocument(t)
	used := map[string]bool{}
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		used[m[1]] = true
	}
	if diff := cmp.Diff(sortedKeys(used), sortedKeys(d.Components.Schemas)); diff != "" {
		t.Error("used (-) and defined (+):", diff)
	}
}
