"""testssl.sh and sslyze look for what is wrong with TLS. Nothing may be but that the chain ends in the tests' own authority."""
import json
import os
import pathlib
import warnings

from checks import Tool, check, expect

TESTSSL = Tool("testssl.sh", "testssl")
SSLYZE = Tool("sslyze", package="sslyze")
HARMLESS = {"OK", "INFO", "LOW", "DEBUG"}
# What the certificates of tests cannot have: a chain that everybody trusts, and somebody to ask about revocation.
OF_TEST_CERTIFICATES = ("cert_chain_of_trust", "cert_revocation")


@check(TESTSSL, "no finding above LOW but on the tests' own certificates", slow=True)
def testssl(world):
    notes, bad = [], []
    for name, port in (("tls", world.gateway.tls), ("modern", world.gateway.modern)):
        report = f"{world.folder}/testssl-{name}.json"
        if os.path.exists(report):
            os.remove(report)
        environment = {**os.environ, "TERM": "dumb"}
        ended = TESTSSL.run("--quiet", "--warnings", "off", "--color", "0", "--ip", "127.0.0.1", "--nodns", "none", "--add-ca", f"{world.certificates}/ca.crt",
                            "--jsonfile", report, f"localhost:{port}", timeout=580, env=environment)
        expect(os.path.exists(report), ended.stdout[-2000:], ended.stderr[-1000:])
        with open(report) as file:
            findings = json.load(file)
        expect(len(findings) > 100, "it did not get through:", [f for f in findings if f["severity"] in ("FATAL", "WARN")], ended.stdout[-1500:])
        # WARN is said of what could not be looked at; it is told, not judged.
        told = [f"{f['severity']} {f['id']}: {f['finding']}" for f in findings if f["severity"] not in ("OK", "INFO", "DEBUG")]
        notes.append(f"{name}: {len(findings)} findings; not OK or INFO: " + "".join(f"\n  {line}" for line in told or ["none"]))
        bad += [f for f in findings if f["severity"] not in HARMLESS | {"WARN"} and not f["id"].startswith(OF_TEST_CERTIFICATES)]
    expect(not bad, "\n".join(notes))
    return "\n".join(notes)


@check(SSLYZE, "conforms to Mozilla's recommendation, and is open to none of the attacks it knows")
def sslyze(world):
    # Of the trust stores it brings, which no check here is about.
    warnings.filterwarnings("ignore", module="sslyze")
    from sslyze import Scanner, ServerNetworkConfiguration, ServerNetworkLocation, ServerScanRequest
    from sslyze.plugins.certificate_info.implementation import CertificateInfoExtraArgument
    from sslyze.scanner.models import ScanCommandsExtraArguments

    ports = {"tls": world.gateway.tls, "modern": world.gateway.modern}
    extra = ScanCommandsExtraArguments(certificate_info=CertificateInfoExtraArgument(custom_ca_file=pathlib.Path(world.certificates, "ca.crt")))
    scanner = Scanner()
    scanner.queue_scans([
        ServerScanRequest(ServerNetworkLocation("localhost", port, ip_address="127.0.0.1"), ServerNetworkConfiguration("localhost"), scan_commands_extra_arguments=extra)
        for port in ports.values()
    ])
    results = {result.server_location.port: result for result in scanner.get_results()}
    notes, wrong = [], []
    for name, port in ports.items():
        judge_scan(name, results[port], notes, wrong)
    expect(not wrong, "\n".join(wrong + notes))
    return "\n".join(notes)


def judge_scan(name, result, notes, wrong):
    """Appends what is wrong with a listener, and what is good to know of it."""
    from sslyze.mozilla_tls_profile import tls_config_checker as mozilla
    from sslyze.plugins.scan_commands import ScanCommandsRepository

    if not result.scan_result:
        wrong.append(f"{name}: no connection: {result.connectivity_error_trace}")
        return
    scan, whole = {}, True
    for command in ScanCommandsRepository.get_all_scan_commands():
        attempt = getattr(result.scan_result, command.value)
        scan[command.value] = attempt.result
        if attempt.status.name != "COMPLETED":
            whole = False
            trace = "".join(attempt.error_trace.format()).strip() if attempt.error_trace else attempt.error_reason
            wrong.append(f"{name}: {command.value} could not be looked at: {trace.splitlines()[-1]}")
    attacks = {
        "heartbleed": lambda seen: seen["heartbleed"].is_vulnerable_to_heartbleed,
        "CCS injection": lambda seen: seen["openssl_ccs_injection"].is_vulnerable_to_ccs_injection,
        "ROBOT": lambda seen: not seen["robot"].robot_result.name.startswith("NOT_VULNERABLE"),
        "renegotiation by clients": lambda seen: seen["session_renegotiation"].is_vulnerable_to_client_renegotiation_dos,
        "insecure renegotiation": lambda seen: not seen["session_renegotiation"].supports_secure_renegotiation and name != "modern",
        "compression": lambda seen: seen["tls_compression"].supports_compression,
        "no TLS_FALLBACK_SCSV": lambda seen: not seen["tls_fallback_scsv"].supports_fallback_scsv and name != "modern",
        "early data": lambda seen: seen["tls_1_3_early_data"].supports_early_data,
        "a chain that its own authority does not carry": lambda seen: not all(
            any(path.was_validation_successful for path in chain.path_validation_results) for chain in seen["certificate_info"].certificate_deployments),
    }
    for what, holds in attacks.items():
        try:
            if holds(scan):
                wrong.append(f"{name}: {what}")
        except AttributeError:  # Not looked at, and told so above.
            pass
    if whole:
        level = "modern" if name == "modern" else "intermediate"
        profile = mozilla.MozillaTlsConfiguration.get(mozilla.TlsConfigurationEnum(level))
        try:
            mozilla.check_server_against_tls_configuration(result, profile)
            notes.append(f"{name}: conforms to Mozilla's {level}")
        except mozilla.ServerNotCompliantWithTlsConfiguration as why:
            of_tests = ("certificate_path_validation", "maximum_certificate_lifespan")
            issues = [f"{name}: not Mozilla's {level}: {what}: {text}" for what, text in why.issues.items()]
            (wrong if set(why.issues) - set(of_tests) else notes).extend(issues)
    for version in ("tls_1_2", "tls_1_3"):
        if suites := scan[f"{version}_cipher_suites"]:
            notes.append(f"{name} {version}: " + (", ".join(suite.cipher_suite.name for suite in suites.accepted_cipher_suites) or "none"))
    if resumed := scan["session_resumption"]:
        notes.append(f"{name}: resumption by id {resumed.session_id_resumption_result.name}, by ticket {resumed.tls_ticket_resumption_result.name}")
