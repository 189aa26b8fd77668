package account_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor/aws/account"
)

// TestPolicyIsWhole compares the actions that the documentation has allowed with the table of calls.
func TestPolicyIsWhole(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile("[`\"](?:ec2|ebs|sts|ssm):[A-Za-z]+[`\"]").FindAllString(string(text), -1)
	for i, s := range told {
		told[i] = s[1 : len(s)-1]
	}
	called := []string{"sts:AssumeRole"} // by the SDK itself
	for prefix, table := range map[string]reflect.Type{
		"ec2:": reflect.TypeFor[account.EC2](), "ebs:": reflect.TypeFor[account.EBS](), "sts:": reflect.TypeFor[account.STS](), "ssm:": reflect.TypeFor[account.SSM](),
	} {
		for i := range table.NumField() {
			called = append(called, prefix+table.Field(i).Name)
		}
	}
	for _, action := range called {
		if !slices.Contains(told, action) {
			t.Errorf("docs/aws.md does not have %s allowed", action)
		}
	}
	for _, action := range told {
		if !slices.Contains(called, action) {
			t.Errorf("docs/aws.md has %s allowed, which nobody calls", action)
		}
	}
}
