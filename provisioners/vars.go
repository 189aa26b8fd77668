package provisioners

import "strconv"

// Environment is the variables that every script of a build gets. The addresses are left out without a seed server, as
// Packer does for builders without one.
func (v Vars) Environment() map[string]string {
	env := map[string]string{"PACKER_BUILD_NAME": v.BuildName, "PACKER_BUILDER_TYPE": v.BuilderType}
	if v.HTTPPort != 0 {
		env["PACKER_HTTP_ADDR"] = v.HTTPAddr()
		env["PACKER_HTTP_IP"] = v.HTTPIP
		env["PACKER_HTTP_PORT"] = strconv.Itoa(v.HTTPPort)
	}
	return env
}
