-- SPDX-License-Identifier: Apache-2.0 OR MIT
--
-- Countersign in Wireshark: the settings and frames of draft-rosomakho-httpbis-secondary-client-certs-00 and
-- draft-ietf-httpbis-secondary-server-certs over HTTP/2 and HTTP/3, with the messages of RFC 9261 in them. README.md
-- beside this file says how to install and use it.
--
-- Wireshark's dissectors of HTTP/2 and HTTP/3 name what they do not know "Unknown" and have no hook for it. So this is a
-- post-dissector: it runs after them and looks at what they have found. In Lua the fields of several frames in one packet
-- come as separate lists, which nothing ties together. This file does not try to match them. It takes one field of each
-- frame, the type, for where the frame is, in which buffer and at which offset, and reads from there itself:
--
-- * HTTP/2: `http2.type` stands at the fourth byte of a frame that Wireshark has already put together from TCP segments
--   and TLS records.
-- * HTTP/3: `quic.frame_type` stands at the first byte of a decrypted QUIC frame. STREAM frames are put together here, for
--   Wireshark 4.0 has them wrong where packets are out of order, and what it shows of HTTP/3 does not name the stream. What
--   a packet completes is learnt when it is seen first, and remembered by the packet's number, so that packets may be looked at
--   again in any order.
--
-- Limits:
--
-- * Nothing is verified: no signature, no MAC, no chain. Rules over several frames are not checked, such as the number of
--   outstanding requests, the order of answers, or that both sides announced support.
-- * An answer is tied to its request by the context; a declining one has none, and is taken for the answer to the oldest
--   request that is left. With packets missing from the capture that can be another one.
-- * QUIC packets that the kernel sent in one batch are captured on a loopback interface as one datagram, which Wireshark
--   cannot decrypt (README.md).
-- * Without the handshake in the capture QUIC stays undecrypted, and in TCP the side with the lower port is taken for
--   the server.
-- * Over HTTP/3, a stream of which the capture lost a part is not shown from there on, and neither are a frame of which the
--   end never came, one longer than MAX_FRAME, push streams, and WebTransport's streams.
-- * One authenticator is taken to be in one frame, as Countersign has it; a part of one is shown as malformed.

local countersign = Proto("countersign", "Countersign: certificates after the handshake")

-- Longer frames of HTTP/3 are passed over, as is more than this that waits for a gap in a stream to be filled.
local MAX_FRAME = 1048576
-- Frames of one packet that the info column names.
local MAX_SUMMARIES = 6
-- Wireshark gives up on a packet in which dissectors were called 500 times, and does so for each attribute of a name and
-- each algorithm. Every object identifier begins with the byte 6, so that counting these is enough to stay below.
local MAX_BUILTIN = 300
local builtin_budget = MAX_BUILTIN

-- The parts of this file, in the order in which they come. Tables, so that what is important may come first.
local show, message, extension, der, http2, http3, answers, Cursor = {}, {}, {}, {}, {}, {}, {}, {}
local names, fields, experts, lookups = {}, {}, {}, {}

function countersign.dissector(tvb, pinfo, tree)
    local frames = http2.frames(pinfo)
    for _, frame in ipairs(http3.frames(pinfo)) do
        frames[#frames + 1] = frame
    end
    local root, summaries = nil, {}
    builtin_budget = MAX_BUILTIN
    for index, frame in ipairs(frames) do
        frame.index = index
        local writer = show.writer(frame)
        if writer then
            root = root or tree:add(countersign, tvb())
            summaries[#summaries + 1] = writer(frame, pinfo, root)
        end
    end
    if root then
        local summary = show.in_short(summaries)
        root:set_text("Countersign: " .. summary)
        pinfo.cols.info:append(", " .. summary)
    end
end

-- Called whenever a capture is opened, or dissected anew with other preferences.
function countersign.init()
    http2.reset()
    http3.reset()
    answers.reset()
end

--- Code points, which the drafts leave open: preferences, named as in Countersign's own configuration ---------------

local prefs = countersign.prefs
prefs.settings_client_cert_auth =
    Pref.uint("SETTINGS_HTTP_CLIENT_CERT_AUTH", 0xff0c, "The setting's identifier (default 65292, 0xff0c)")
prefs.settings_server_cert_auth =
    Pref.uint("SETTINGS_HTTP_SERVER_CERT_AUTH", 0xff0d, "The setting's identifier (default 65293, 0xff0d)")
prefs.frame_authenticator_requests =
    Pref.uint("AUTHENTICATOR_REQUESTS", 0xf5, "The frame type (default 245, 0xf5)")
prefs.frame_certificate =
    Pref.uint("CERTIFICATE", 0xf6, "The frame type, client to server (default 246, 0xf6)")
prefs.frame_server_certificate = Pref.uint(
    "SERVER_CERTIFICATE",
    0xf6,
    "The frame type, server to client; may be that of CERTIFICATE (default 246, 0xf6)"
)
prefs.error_server_certificate_invalid =
    Pref.uint("SERVER_CERTIFICATE_INVALID", 0xff0e, "The error code (default 65294, 0xff0e)")

-- What a frame is, or nil if it is none of ours. Where one number stands for two frames the direction decides; a frame
-- from the wrong side is still named.
local function classify(frame_type, from_client)
    if frame_type == prefs.frame_authenticator_requests then
        return "AUTHENTICATOR_REQUESTS"
    end
    local certificate = frame_type == prefs.frame_certificate
    local server_certificate = frame_type == prefs.frame_server_certificate
    if certificate and server_certificate then
        return from_client and "CERTIFICATE" or "SERVER_CERTIFICATE"
    end
    return certificate and "CERTIFICATE" or server_certificate and "SERVER_CERTIFICATE" or nil
end

--- Frames. Each writer adds to the tree and returns what the info column says ----------------------------------------

-- A frame, as http2 and http3 hand it over, has
--   kind         SETTINGS, GOAWAY, CONNECTION_CLOSE or the name of one of ours
--   version      of HTTP
--   from_client  who sent it
--   conversation a key for its connection
--   stream       and whether that is stream 0 or a control stream (`control`)
--   range        all of it
--   body         a cursor on its payload
--   missing      how many bytes of the payload the capture lacks
--   index        its place among all frames of the packet

-- What shows this frame, or nil if there is nothing to show.
function show.writer(frame)
    if frame.kind == "SETTINGS" then
        frame.settings = show.our_settings(frame)
        return #frame.settings > 0 and show.settings or nil
    elseif frame.kind == "GOAWAY" or frame.kind == "CONNECTION_CLOSE" then
        frame.error = show.our_error(frame)
        return frame.error and show.ending or nil
    end
    return show.ours
end

local function plural(number, one)
    return string.format("%d %s%s", number, one, number == 1 and "" or "s")
end

-- For a line, which a flood of frames in one packet must not make longer than anybody reads.
function show.in_short(summaries)
    local more = #summaries - MAX_SUMMARIES
    local shown = table.concat(summaries, ", ", 1, math.min(#summaries, MAX_SUMMARIES))
    return more > 0 and string.format("%s and %d more", shown, more) or shown
end

-- A frame's line, with who sent it and where.
function show.frame(frame, root)
    local item = root:add(fields.frame, frame.range, frame.kind)
    local place = frame.stream and string.format(", stream %.0f", frame.stream) or ""
    local way = frame.from_client and "client to server" or "server to client"
    item:set_text(string.format("%s, %s, HTTP/%d%s", frame.kind, way, frame.version, place))
    item:add(fields.sender, frame.range, frame.from_client and "client" or "server"):set_generated()
    if frame.stream then
        item:add(fields.stream, frame.range, UInt64(frame.stream)):set_generated()
    end
    return item
end

-- AUTHENTICATOR_REQUESTS, CERTIFICATE and SERVER_CERTIFICATE.
function show.ours(frame, pinfo, root)
    local item = show.frame(frame, root)
    show.check_place(frame, item)
    local dissect = frame.kind == "AUTHENTICATOR_REQUESTS" and message.requests or message.authenticator
    local outcome = { requests = 0, certificates = 0, contexts = {} }
    local broken = show.attempt(item, frame, function()
        dissect(frame, item, pinfo, outcome)
    end)
    answers.link(frame, pinfo, item, outcome)
    return string.format("%s (%s)", frame.kind, broken and "malformed" or outcome.summary)
end

function show.check_place(frame, item)
    if not frame.control then
        local belongs = frame.version == 2 and "stream 0" or "the sender's control stream"
        item:add_proto_expert_info(experts.stream, "This frame belongs to " .. belongs)
    end
    if frame.from_client ~= (frame.kind == "CERTIFICATE") then
        local sender = frame.from_client and "client" or "server"
        item:add_proto_expert_info(experts.sender, string.format("A %s must not send this frame", sender))
    end
end

-- Runs what reads a frame. What cannot be read ends it and is told in the tree; true is returned then. Any other error
-- is a mistake in this file, and must be seen.
function show.attempt(item, frame, read)
    local good, problem = pcall(read)
    if good then
        return false
    elseif type(problem) ~= "table" then
        error(problem, 0)
    elseif frame.missing > 0 then
        item:add_proto_expert_info(experts.cut, plural(frame.missing, "byte") .. " of this frame were not captured")
    else
        item:add_proto_expert_info(experts.malformed, problem.why)
    end
    return true
end

-- The settings of ours in a SETTINGS frame. That the rest of it can be read is not our business.
function show.our_settings(frame)
    local found = {}
    pcall(function()
        while not frame.body:is_empty() do
            local at, id, value = frame.body.at, nil, nil
            if frame.version == 2 then
                id, value = frame.body:number(2, "a setting"), frame.body:number(4, "its value")
            else
                id, value = frame.body:varint("a setting"), frame.body:varint("its value")
            end
            local range = frame.body:since(at)
            if id == prefs.settings_client_cert_auth then
                found[#found + 1] = { name = "SETTINGS_HTTP_CLIENT_CERT_AUTH", value = value, range = range, client = true }
            elseif id == prefs.settings_server_cert_auth then
                found[#found + 1] = { name = "SETTINGS_HTTP_SERVER_CERT_AUTH", value = value, range = range }
            end
        end
    end)
    return found
end

function show.settings(frame, _, root)
    local item, said = show.frame(frame, root), {}
    for _, setting in ipairs(frame.settings) do
        local field = setting.client and fields.setting_client or fields.setting_server
        local line = item:add(field, setting.range, UInt64(setting.value))
        -- The client draft lets a client announce any number; all else is 0 or 1.
        if setting.value > 1 and not (setting.client and frame.from_client) then
            line:add_proto_expert_info(experts.setting, "This setting of a server, or for its certificates, is 0 or 1")
        end
        said[#said + 1] = string.format("%s=%.0f", setting.name, setting.value)
    end
    return table.concat(said, ", ")
end

-- The range of SERVER_CERTIFICATE_INVALID in what ends a connection, or nil.
function show.our_error(frame)
    local good, code, range = pcall(function()
        if frame.version == 2 then
            frame.body:take(4, "the last stream")
            return frame.body:number(4, "the error code")
        end
        return frame.body:varint("the error code")
    end)
    return good and code == prefs.error_server_certificate_invalid and range or nil
end

function show.ending(frame, _, root)
    local item = show.frame(frame, root)
    local code = UInt64(prefs.error_server_certificate_invalid)
    local line = item:add(fields.error, frame.error, code)
    line:append_text(" SERVER_CERTIFICATE_INVALID")
    line:add_proto_expert_info(experts.error)
    return frame.kind .. " (SERVER_CERTIFICATE_INVALID)"
end

--- Requests and authenticators (RFC 9261, sections 4 and 5; client draft, section 4.1.3) ---------------------------

local CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY = 11, 13, 15
local CLIENT_CERTIFICATE_REQUEST, FINISHED = 17, 20

-- The payload of AUTHENTICATOR_REQUESTS.
function message.requests(frame, item, pinfo, outcome)
    local body = frame.body
    if body:is_empty() and frame.missing == 0 then
        item:add_proto_expert_info(experts.empty, "The list must not be empty (client draft, section 4.1)")
    end
    while not body:is_empty() do
        local at = body.at
        local length, length_range = body:varint("the length of a request")
        local request = body:take(length, "the request")
        outcome.requests = outcome.requests + 1
        local line = item:add(fields.request, body:since(at))
        line:set_text(string.format("Request %d", outcome.requests))
        line:add(fields.request_length, length_range, length)
        message.request(request, line, pinfo, outcome)
        request:finish(line, "the request")
    end
    outcome.summary = plural(outcome.requests, "request")
    item:add(fields.request_count, frame.range, outcome.requests):set_generated()
end

-- One request, of either type: they differ in nothing else.
function message.request(cursor, item, pinfo, outcome)
    local kind, body, line = message.header(cursor, item)
    if kind ~= CERTIFICATE_REQUEST and kind ~= CLIENT_CERTIFICATE_REQUEST then
        line:add_proto_expert_info(experts.messages, "A request is a message of type 17 or 13")
        return
    end
    outcome.contexts[#outcome.contexts + 1] = message.request_body(body, line, pinfo)
    body:finish(line, "the message")
end

function message.request_body(body, line, pinfo)
    local context = message.context(body, line)
    local seen = extension.list(body, line, pinfo)
    if not seen[13] then
        line:add_proto_expert_info(experts.signature_algorithms)
    end
    return context
end

-- The payload of CERTIFICATE and SERVER_CERTIFICATE.
function message.authenticator(frame, item, pinfo, outcome)
    local body, order = frame.body, {}
    repeat
        local kind, content, line = message.header(body, item)
        order[#order + 1] = kind
        local dissect = message.by_type[kind] or message.request_body
        dissect(content, line, pinfo, outcome)
        content:finish(line, "the message")
    until kind == FINISHED or body:is_empty()
    body:finish(item, "the authenticator")
    message.check_order(table.concat(order, " "), frame, item)
    outcome.declined = order[1] == FINISHED and frame.kind == "CERTIFICATE"
    if outcome.declined then
        item:add(fields.decline, frame.range, true):set_generated()
        item:append_text(", declined")
        outcome.summary = "declined"
    else
        outcome.summary = outcome.subject or plural(outcome.certificates, "certificate")
    end
end

-- Nobody asks a server for its certificates, so it has nothing to decline.
function message.check_order(order, frame, item)
    local whole = string.format("%d %d %d", CERTIFICATE, CERTIFICATE_VERIFY, FINISHED)
    local empty = tostring(FINISHED)
    if order == whole or (order == empty and frame.kind == "CERTIFICATE") then
        return
    end
    local may = frame.kind == "CERTIFICATE" and ", or of Finished alone" or ""
    local why = "An authenticator consists of Certificate, CertificateVerify and Finished" .. may
    item:add_proto_expert_info(experts.messages, why)
end

-- The type of a handshake message, a cursor on its content, and its line.
function message.header(cursor, item)
    local at = cursor.at
    local kind, kind_range = cursor:number(1, "the type of a message")
    local name = names.message[kind]
    if not name then
        cursor:broken(string.format("Message type %d is neither a request nor part of an authenticator", kind))
    end
    local body, length_range = cursor:vector(3, name)
    local line = item:add(fields.message, cursor:since(at))
    line:set_text(string.format("%s (%d), %s", name, kind, plural(body:left(), "byte")))
    line:add(fields.message_type, kind_range, kind)
    line:add(fields.message_length, length_range, body:left())
    return kind, body, line
end

-- Returns the context in a form that can be compared.
function message.context(cursor, item)
    local context = cursor:vector(1, "certificate_request_context")
    item:add(fields.context, context:rest())
    return context:hex()
end

function message.certificate(body, item, pinfo, outcome)
    outcome.contexts[1] = message.context(body, item)
    local list = body:vector(3, "certificate_list")
    if list:is_empty() then
        item:add_proto_expert_info(experts.empty, "certificate_list of an authenticator is never empty")
    end
    while not list:is_empty() do
        local at = list.at
        local certificate = list:vector(3, "cert_data")
        local line = item:add(fields.entry, list:since(at))
        message.entry(certificate, line, pinfo, outcome)
        extension.list(list, line, pinfo)
        line:set_len(list.at - at)
    end
end

-- One certificate, which Wireshark's own dissector explains further if it is there.
function message.entry(certificate, line, pinfo, outcome)
    outcome.certificates = outcome.certificates + 1
    local range, subject = certificate:rest(), der.subject(certificate)
    line:set_text(string.format("Certificate %d, %s", outcome.certificates, plural(range:len(), "byte")))
    local data = line:add(fields.certificate, range)
    if not subject then
        data:add_proto_expert_info(experts.certificate)
        return
    end
    line:append_text(": " .. subject)
    line:add(fields.subject, range, subject):set_generated()
    outcome.subject = outcome.subject or subject
    show.by_builtin(lookups.certificate, range, pinfo, line)
end

-- Has Wireshark show `range`, while the packet's budget lasts. Content that it cannot read it raises an error over, which
-- ends the content, but not what is around it.
function show.by_builtin(lookup, range, pinfo, item)
    local dissector = lookup()
    local _, identifiers = range:raw():gsub("\6", "")
    builtin_budget = builtin_budget - 1 - identifiers
    if dissector and builtin_budget >= 0 and not pcall(dissector.call, dissector, range:tvb(), pinfo, item) then
        item:add_proto_expert_info(experts.builtin)
    end
end

function message.verify(body, item)
    local scheme, range = body:number(2, "a signature scheme")
    local line = item:add(fields.verify_scheme, range, scheme)
    if names.no_signature_of_tls_1_3[scheme] then
        line:add_proto_expert_info(experts.scheme)
    end
    item:add(fields.signature, body:vector(2, "the signature"):rest())
end

function message.finished(body, item)
    if body:is_empty() then
        body:broken("verify_data is missing")
    end
    item:add(fields.verify_data, body:take(body:left(), "verify_data"):rest())
end

message.by_type = {
    [CERTIFICATE] = message.certificate,
    [CERTIFICATE_VERIFY] = message.verify,
    [FINISHED] = message.finished,
}

--- Extensions ------------------------------------------------------------------------------------------------------

-- A list of them; returns which types it has.
function extension.list(cursor, item, pinfo)
    local list, seen = cursor:vector(2, "extensions"), {}
    while not list:is_empty() do
        local at = list.at
        local kind, kind_range = list:number(2, "the type of an extension")
        local name = names.extension[kind] or string.format("extension %d", kind)
        local body, length_range = list:vector(2, name)
        local line = item:add(fields.extension, list:since(at))
        line:set_text(string.format("%s (%d), %s", name, kind, plural(body:left(), "byte")))
        line:add(fields.extension_type, kind_range, kind)
        line:add(fields.extension_length, length_range, body:left())
        if seen[kind] then
            line:add_proto_expert_info(experts.duplicate, name .. " was there before (RFC 8446, section 4.2)")
        end
        seen[kind] = true
        local dissect = extension.by_type[kind] or extension.other
        dissect(body, line, pinfo)
        body:finish(line, name)
    end
    return seen
end

function extension.other(body, item)
    if not body:is_empty() then
        item:add(fields.extension_data, body:take(body:left(), "the extension"):rest())
    end
end

function extension.schemes(body, item)
    local list = body:vector(2, "the list of schemes")
    while not list:is_empty() do
        local scheme, range = list:number(2, "a signature scheme")
        item:add(fields.scheme, range, scheme)
    end
end

function extension.authorities(body, item, pinfo)
    local list = body:vector(2, "the list of authorities")
    while not list:is_empty() do
        local name = list:vector(2, "the name of an authority")
        local range, text = name:rest(), der.distinguished_name(name)
        if text then
            local line = item:add(fields.authority, range, text)
            line:add(fields.authority_der, range)
            show.by_builtin(lookups.name, range, pinfo, line)
        else
            item:add(fields.authority_der, range):add_proto_expert_info(experts.name)
        end
    end
end

function extension.oid_filters(body, item)
    local list = body:vector(2, "the list of filters")
    while not list:is_empty() do
        item:add(fields.filter_oid, list:vector(1, "certificate_extension_oid"):rest())
        item:add(fields.filter_values, list:vector(2, "certificate_extension_values"):rest())
    end
end

-- Empty where it only says that the name was used.
function extension.server_name(body, item)
    if body:is_empty() then
        return
    end
    local list = body:vector(2, "the list of names")
    while not list:is_empty() do
        list:number(1, "the type of a name")
        local name = list:vector(2, "the name")
        item:add(fields.server_name, name:rest(), name:text())
    end
end

extension.by_type = {
    [0] = extension.server_name,
    [13] = extension.schemes,
    [47] = extension.authorities,
    [48] = extension.oid_filters,
    [50] = extension.schemes,
}

--- As much of DER as names need; Wireshark's own dissectors do the rest ------------------------------------------------

-- The subject of a certificate, as in "O=Example, CN=alice", or nil if it cannot be found.
function der.subject(cursor)
    local good, subject = pcall(function()
        local to_be_signed = der.expect(der.expect(cursor, 0x30), 0x30)
        local tag = der.next(to_be_signed)
        if tag == 0xa0 then
            der.next(to_be_signed) -- the serial number, behind the version
        end
        for _ = 1, 3 do
            der.next(to_be_signed) -- the algorithm, the issuer, the validity
        end
        return der.name(der.expect(to_be_signed, 0x30))
    end)
    return good and subject or nil
end

-- The same for a name by itself.
function der.distinguished_name(cursor)
    local good, name = pcall(function()
        return der.name(der.expect(cursor, 0x30))
    end)
    return good and cursor:is_empty() and name or nil
end

function der.name(sequence)
    local parts = {}
    while not sequence:is_empty() do
        local set = der.expect(sequence, 0x31)
        while not set:is_empty() do
            local attribute = der.expect(set, 0x30)
            local kind = der.expect(attribute, 0x06):hex()
            local tag, value = der.next(attribute)
            local text = names.text_tag[tag] and value:text() or value:hex()
            parts[#parts + 1] = (names.attribute[kind] or kind) .. "=" .. text
        end
    end
    return table.concat(parts, ", ")
end

function der.expect(cursor, expected)
    local tag, content = der.next(cursor)
    if tag ~= expected then
        cursor:broken("another element was expected")
    end
    return content
end

function der.next(cursor)
    local tag = cursor:number(1, "a tag")
    local length = cursor:number(1, "a length")
    if length > 0x84 or length == 0x80 then
        cursor:broken("the length of an element is not in a form that DER has")
    elseif length > 0x80 then
        length = cursor:number(length - 0x80, "a length")
    end
    return tag, cursor:take(length, "an element")
end

--- Which request an answer is for ----------------------------------------------------------------------------------

-- outstanding[conversation] holds { context, packet's number } of the requests, oldest first; found[packet's number][index]
-- that of the request which a frame answers; answered[conversation][context] the number of the answer's packet.
local outstanding, found, answered = {}, {}, {}

function answers.reset()
    outstanding, found, answered = {}, {}, {}
end

function answers.link(frame, pinfo, item, outcome)
    if frame.kind == "AUTHENTICATOR_REQUESTS" then
        answers.asked(frame, pinfo, item, outcome)
    elseif frame.kind == "CERTIFICATE" and (outcome.declined or outcome.contexts[1]) then
        answers.given(frame, pinfo, item, outcome)
    end
end

function answers.asked(frame, pinfo, item, outcome)
    local waiting = outstanding[frame.conversation] or {}
    outstanding[frame.conversation] = waiting
    for _, context in ipairs(outcome.contexts) do
        if not pinfo.visited then
            waiting[#waiting + 1] = { context = context, number = pinfo.number }
        end
        local number = (answered[frame.conversation] or {})[context]
        if number then
            item:add(fields.answered_in, frame.range, number):set_generated()
        end
    end
end

function answers.given(frame, pinfo, item, outcome)
    local here = found[pinfo.number] or {}
    found[pinfo.number] = here
    if not pinfo.visited then
        here[frame.index] = answers.settle(frame.conversation, outcome.contexts[1], pinfo.number)
    end
    local request = here[frame.index]
    if request then
        item:add(fields.answers, frame.range, request.number):set_generated()
    end
end

-- Takes the request that is answered out of those that wait. Answers come in the order of requests, so whatever is
-- older was answered where the capture does not show it.
function answers.settle(conversation, context, number)
    local waiting = outstanding[conversation] or {}
    local index = context == nil and #waiting > 0 and 1 or nil
    for at, request in ipairs(waiting) do
        if request.context == context then
            index = index or at
        end
    end
    local request = nil
    for _ = 1, index or 0 do
        request = table.remove(waiting, 1)
    end
    if request then
        answered[conversation] = answered[conversation] or {}
        answered[conversation][request.context] = number
    end
    return request
end

--- What Wireshark has found ----------------------------------------------------------------------------------------

-- All values of a field in the current packet; none if this Wireshark does not have it.
local function every(name)
    local good, field = pcall(Field.new, name)
    return function()
        return good and { field() } or {}
    end
end

local http2_type, http2_magic = every("http2.type"), every("http2.magic")
local tcp_stream, tcp_syn, tcp_ack = every("tcp.stream"), every("tcp.flags.syn"), every("tcp.flags.ack")
local quic_connection, quic_frame_type = every("quic.connection.number"), every("quic.frame_type")
local tls_handshake_type, tls_alpn = every("tls.handshake.type"), every("tls.handshake.extensions_alpn_str")

local function begins_with_client_hello()
    local first = tls_handshake_type()[1]
    return first ~= nil and first.value == 1
end

local function source_of(pinfo)
    return tostring(pinfo.src) .. " " .. pinfo.src_port
end

local function destination_of(pinfo)
    return tostring(pinfo.dst) .. " " .. pinfo.dst_port
end

--- HTTP/2 ----------------------------------------------------------------------------------------------------------

local HTTP2_HEADER, SETTINGS, HTTP2_GOAWAY = 9, 0x4, 0x7
local client_of = {} -- by the number of the TCP stream

function http2.reset()
    client_of = {}
end

function http2.frames(pinfo)
    local frames, stream = {}, tcp_stream()[1]
    if not stream then
        return frames
    end
    http2.learn_client(stream.value, pinfo)
    local from_client = http2.is_from_client(stream.value, pinfo)
    for _, info in ipairs(http2_type()) do
        local frame_type = info.value
        local kind = classify(frame_type, from_client)
            or (frame_type == SETTINGS and "SETTINGS")
            or (frame_type == HTTP2_GOAWAY and "GOAWAY")
        if kind then
            local frame = http2.frame(info)
            frame.kind, frame.from_client = kind, from_client
            frame.conversation = "tcp " .. stream.value
            frames[#frames + 1] = frame
        end
    end
    return frames
end

-- The type is the fourth byte of the header: length (24), type (8), flags (8), stream (32).
function http2.frame(info)
    local source, at = info.source, info.offset - 3
    local length, stream = source(at, 3):uint(), source(at + 5, 4):uint() % 0x80000000
    local captured = math.min(length, source:len() - at - HTTP2_HEADER)
    return {
        version = 2,
        stream = stream,
        control = stream == 0,
        range = source(at, HTTP2_HEADER + captured),
        body = Cursor.new(source, at + HTTP2_HEADER, captured),
        missing = length - captured,
    }
end

-- Whoever opens the connection is the client, and only a client sends the preface. The server may speak first.
function http2.learn_client(stream, pinfo)
    local syn, ack = tcp_syn()[1], tcp_ack()[1]
    local opens = syn and ack and syn.value and not ack.value
    if opens or begins_with_client_hello() or http2_magic()[1] then
        client_of[stream] = source_of(pinfo)
    end
end

function http2.is_from_client(stream, pinfo)
    if client_of[stream] then
        return client_of[stream] == source_of(pinfo)
    end
    return pinfo.src_port > pinfo.dst_port
end

--- HTTP/3 ----------------------------------------------------------------------------------------------------------

local STREAM_FIRST, STREAM_LAST, APPLICATION_CLOSE = 0x08, 0x0f, 0x1d -- QUIC frames (RFC 9000, section 19)
local CONTROL_STREAM, WEBTRANSPORT_STREAM = 0x00, 0x41

-- By the connection's number: the server's address, whether it speaks HTTP/3, and its streams, each direction for itself.
local connections = {}
-- By the packet's number: the frames that it completes.
local completed = {}

function http3.reset()
    connections, completed = {}, {}
end

function http3.frames(pinfo)
    local number = quic_connection()[1]
    if not number then
        return {}
    end
    local connection = http3.connection(number.value, pinfo)
    if not connection.is_http3 then
        return {}
    end
    local pieces, closes = http3.quic_frames()
    local from_client = source_of(pinfo) ~= connection.server
    if not pinfo.visited then
        local entries = http3.learn(connection, pieces, from_client)
        completed[pinfo.number] = #entries > 0 and entries or nil
    end
    local frames = {}
    for _, entry in ipairs(completed[pinfo.number] or {}) do
        frames[#frames + 1] = http3.frame(entry, pieces)
    end
    for _, close in ipairs(closes) do
        close.from_client = from_client
        frames[#frames + 1] = close
    end
    for _, frame in ipairs(frames) do
        frame.conversation = "quic " .. number.value
    end
    return frames
end

-- Of a connection that can be decrypted the first packet is the client's. What it speaks is in the last list of
-- protocols: the server's choice, or until then what the client offers.
function http3.connection(number, pinfo)
    local connection = connections[number]
    if not connection then
        connection = { server = destination_of(pinfo), is_http3 = true, streams = {} }
        connections[number] = connection
    end
    local protocols = tls_alpn()
    if #protocols > 0 and not pinfo.visited then
        connection.is_http3 = false
        for _, protocol in ipairs(protocols) do
            connection.is_http3 = connection.is_http3 or protocol.value:sub(1, 2) == "h3"
        end
    end
    return connection
end

-- The STREAM frames of the packet, and those that close the connection for the application's reasons.
function http3.quic_frames()
    local pieces, closes = {}, {}
    for _, info in ipairs(quic_frame_type()) do
        local kind = tonumber(tostring(info.value))
        local at = info.offset + info.len
        local cursor = Cursor.new(info.source, at, info.source:len() - at)
        if kind >= STREAM_FIRST and kind <= STREAM_LAST then
            -- What is no STREAM frame QUIC's own dissector complains of.
            local good, piece = pcall(http3.piece, kind, cursor)
            pieces[#pieces + 1] = good and piece or nil
        elseif kind == APPLICATION_CLOSE then
            local range = info.source(info.offset, info.source:len() - info.offset)
            closes[#closes + 1] =
                { kind = "CONNECTION_CLOSE", version = 3, control = true, range = range, body = cursor, missing = 0 }
        end
    end
    return pieces, closes
end

-- The three low bits of the type tell which fields there are: FIN, LEN and OFF.
function http3.piece(kind, cursor)
    local stream = cursor:varint("the stream")
    local has_length, has_offset = kind % 4 >= 2, kind % 8 >= 4
    local offset = has_offset and cursor:varint("the offset") or 0
    local length = has_length and cursor:varint("the length") or cursor:left()
    return { stream = stream, offset = offset, content = cursor:take(length, "the data") }
end

-- What the pieces complete, given all that came before.
function http3.learn(connection, pieces, from_client)
    local entries = {}
    for index, piece in ipairs(pieces) do
        local id = string.format("%.0f %s", piece.stream, tostring(from_client))
        local stream = connection.streams[id]
        if not stream then
            stream = http3.new_stream(piece.stream, from_client)
            connection.streams[id] = stream
        end
        if not stream.is_opaque then
            http3.add(stream, piece.offset, piece.content:raw())
            http3.parse(stream, { index = index, piece = piece }, entries)
        end
    end
    return entries
end

-- The two low bits of an identifier: who opened the stream, and whether it has one direction. `at` is the offset of the
-- first byte in `buffer`, `skip_to` the one from which on bytes are wanted, `early` what is beyond a gap, by its offset.
function http3.new_stream(id, from_client)
    return {
        id = id,
        from_client = from_client,
        has_type = id % 4 >= 2,
        is_control = false,
        is_opaque = false,
        at = 0,
        buffer = "",
        skip_to = 0,
        early = {},
        early_bytes = 0,
    }
end

function http3.add(stream, offset, bytes)
    local expected = stream.at + #stream.buffer
    if offset > expected then
        http3.keep(stream, offset, bytes)
        return
    end
    stream.buffer = stream.buffer .. bytes:sub(expected - offset + 1)
    -- A stream that runs ahead of a gap does so by few pieces, so that all may be looked at.
    for early, kept in pairs(stream.early) do
        if early <= stream.at + #stream.buffer then
            stream.early[early] = nil
            stream.early_bytes = stream.early_bytes - #kept
            return http3.add(stream, early, kept)
        end
    end
    http3.skip(stream)
end

function http3.keep(stream, offset, bytes)
    local before = stream.early[offset] or ""
    if #bytes > #before then
        stream.early[offset] = bytes
        stream.early_bytes = stream.early_bytes + #bytes - #before
    end
    if stream.early_bytes > MAX_FRAME then
        stream.is_opaque, stream.early, stream.buffer = true, {}, ""
    end
end

-- Lets go of what is not wanted. Bodies of requests and responses pass by here.
function http3.skip(stream)
    local unwanted = math.min(stream.skip_to - stream.at, #stream.buffer)
    if unwanted > 0 then
        stream.buffer = stream.buffer:sub(unwanted + 1)
        stream.at = stream.at + unwanted
    end
end

-- Takes whole frames out of the buffer.
function http3.parse(stream, origin, entries)
    while not stream.is_opaque and stream.at >= stream.skip_to do
        if stream.has_type then
            local stream_type, size = http3.varint(stream.buffer, 1)
            if not stream_type then
                return
            end
            stream.has_type, stream.skip_to = false, stream.at + size
            stream.is_control = stream_type == CONTROL_STREAM
            stream.is_opaque = not stream.is_control
        else
            local frame_type, type_size = http3.varint(stream.buffer, 1)
            local length, length_size = http3.varint(stream.buffer, 1 + (type_size or 0))
            if not frame_type or not length then
                return
            elseif frame_type == WEBTRANSPORT_STREAM then
                stream.is_opaque = true -- it has no length, and no frames follow
                return
            end
            local header = type_size + length_size
            local kind = classify(frame_type, stream.from_client)
                or (frame_type == SETTINGS and stream.is_control and "SETTINGS")
            if kind and length <= MAX_FRAME then
                if #stream.buffer < header + length then
                    return
                end
                entries[#entries + 1] = http3.entry(stream, kind, header, length, origin)
            end
            stream.skip_to = stream.at + header + length
        end
        http3.skip(stream)
    end
end

-- What is remembered of a frame. One that is whole in a piece of the packet is shown there, of any other the bytes are kept.
function http3.entry(stream, kind, header, length, origin)
    local entry = {
        kind = kind,
        from_client = stream.from_client,
        stream = stream.id,
        control = stream.is_control,
        header = header,
        length = length,
    }
    local within = stream.at - origin.piece.offset
    if within >= 0 and within + header + length <= origin.piece.content:left() then
        entry.index, entry.within = origin.index, within
    else
        entry.bytes = stream.buffer:sub(1, header + length)
    end
    return entry
end

function http3.frame(entry, pieces)
    local tvb, at
    if entry.bytes then
        tvb, at = ByteArray.new(entry.bytes, true):tvb("HTTP/3 frame"), 0
    else
        local content = pieces[entry.index].content
        tvb, at = content.tvb, content.at + entry.within
    end
    return {
        kind = entry.kind,
        version = 3,
        from_client = entry.from_client,
        stream = entry.stream,
        control = entry.control,
        range = tvb(at, entry.header + entry.length),
        body = Cursor.new(tvb, at + entry.header, entry.length),
        missing = 0,
    }
end

-- The variable-length integer at `at` of a string, and its size; nil if it is not all there.
function http3.varint(bytes, at)
    local first = bytes:byte(at)
    local size = first and 2 ^ math.floor(first / 64)
    if not size or #bytes < at + size - 1 then
        return nil
    end
    local value = first % 64
    for index = at + 1, at + size - 1 do
        value = value * 256 + bytes:byte(index)
    end
    return value, size
end

--- A place in a buffer, and the end of what may be read there --------------------------------------------------------

Cursor.__index = Cursor

function Cursor.new(tvb, at, length)
    return setmetatable({ tvb = tvb, at = at, stop = at + length }, Cursor)
end

function Cursor:left()
    return self.stop - self.at
end

function Cursor:is_empty()
    return self.at == self.stop
end

-- Reading ends here. The error is a table, so that it can be told from a mistake in this file.
function Cursor:broken(why)
    error({ why = why })
end

-- The next bytes, as a part of its own.
function Cursor:take(length, what)
    if length > self:left() then
        self:broken(string.format("%s has %s, but %.0f are left", what, plural(length, "byte"), self:left()))
    end
    local part = Cursor.new(self.tvb, self.at, length)
    self.at = self.at + length
    return part
end

-- A number of one to four bytes, and where it is.
function Cursor:number(bytes, what)
    local range = self:take(bytes, what):rest()
    return range:uint(), range
end

-- What stands behind its length, which has so many bytes, and where the length is.
function Cursor:vector(bytes, what)
    local length, range = self:number(bytes, "the length of " .. what)
    return self:take(length, what), range
end

-- A variable-length integer (RFC 9000, section 16), and where it is. Lua's numbers are exact up to 2^53, which is more
-- than any that means something here.
function Cursor:varint(what)
    local at, first = self.at, self:number(1, what)
    local value = first % 64
    for _ = 2, 2 ^ math.floor(first / 64) do
        value = value * 256 + self:number(1, what)
    end
    return value, self:since(at)
end

-- What was read since `at`.
function Cursor:since(at)
    return self.tvb(at, self.at - at)
end

-- What is left.
function Cursor:rest()
    return self.tvb(self.at, self:left())
end

function Cursor:raw()
    return self:is_empty() and "" or self:rest():raw()
end

function Cursor:hex()
    return self:is_empty() and "" or self:rest():bytes():tohex(true)
end

-- As text for people.
function Cursor:text()
    local text = self:is_empty() and "" or self:rest():string(ENC_UTF_8)
    return (text:gsub("%c", "?"))
end

-- Says so if something is left.
function Cursor:finish(item, of)
    if not self:is_empty() then
        local why = string.format("%s left behind the end of %s", plural(self:left(), "byte"), of)
        item:add_proto_expert_info(experts.trailing, why)
    end
end

--- Dissectors of Wireshark's own, which have had different names; without one the bytes are shown as they are ----------

local function looked_up(table_name, pattern)
    local dissector, is_known = nil, false
    return function()
        if not is_known then
            is_known = true
            local good, result = pcall(function()
                return DissectorTable.get(table_name):get_dissector(pattern)
            end)
            dissector = good and result or nil
        end
        return dissector
    end
end

lookups.certificate = looked_up("ber.syntax", "Certificate")
-- id-at-distinguishedName: an attribute whose value is a name.
lookups.name = looked_up("ber.oid", "2.5.4.49")

--- Names -----------------------------------------------------------------------------------------------------------

names.message = {
    [CERTIFICATE] = "Certificate",
    [CERTIFICATE_REQUEST] = "CertificateRequest",
    [CERTIFICATE_VERIFY] = "CertificateVerify",
    [CLIENT_CERTIFICATE_REQUEST] = "ClientCertificateRequest",
    [FINISHED] = "Finished",
}

names.extension = {
    [0] = "server_name",
    [5] = "status_request",
    [13] = "signature_algorithms",
    [18] = "signed_certificate_timestamp",
    [47] = "certificate_authorities",
    [48] = "oid_filters",
    [50] = "signature_algorithms_cert",
}

names.scheme = {
    [0x0201] = "rsa_pkcs1_sha1",
    [0x0203] = "ecdsa_sha1",
    [0x0401] = "rsa_pkcs1_sha256",
    [0x0403] = "ecdsa_secp256r1_sha256",
    [0x0501] = "rsa_pkcs1_sha384",
    [0x0503] = "ecdsa_secp384r1_sha384",
    [0x0601] = "rsa_pkcs1_sha512",
    [0x0603] = "ecdsa_secp521r1_sha512",
    [0x0804] = "rsa_pss_rsae_sha256",
    [0x0805] = "rsa_pss_rsae_sha384",
    [0x0806] = "rsa_pss_rsae_sha512",
    [0x0807] = "ed25519",
    [0x0808] = "ed448",
    [0x0809] = "rsa_pss_pss_sha256",
    [0x080a] = "rsa_pss_pss_sha384",
    [0x080b] = "rsa_pss_pss_sha512",
    [0x0904] = "mldsa44",
    [0x0905] = "mldsa65",
    [0x0906] = "mldsa87",
}

-- They may be offered, for signatures in certificates, but not used in a CertificateVerify.
names.no_signature_of_tls_1_3 =
    { [0x0201] = true, [0x0203] = true, [0x0401] = true, [0x0501] = true, [0x0601] = true }

-- Attributes of names, by the content of their object identifiers.
names.attribute = {
    ["550403"] = "CN",
    ["550405"] = "serialNumber",
    ["550406"] = "C",
    ["550407"] = "L",
    ["550408"] = "ST",
    ["55040a"] = "O",
    ["55040b"] = "OU",
    ["2a864886f70d010901"] = "emailAddress",
    ["0992268993f22c640119"] = "DC",
    ["0992268993f22c640101"] = "UID",
}

-- UTF8String, PrintableString, T61String and IA5String, which are text byte by byte or nearly so.
names.text_tag = { [0x0c] = true, [0x13] = true, [0x14] = true, [0x16] = true }

--- Fields and remarks, which are the display filters -----------------------------------------------------------------

fields.frame = ProtoField.string("countersign.frame", "Frame")
fields.sender = ProtoField.string("countersign.sender", "Sender", base.ASCII, "client or server")
fields.stream = ProtoField.uint64("countersign.stream", "Stream")
fields.setting_client = ProtoField.uint64("countersign.settings.client_cert_auth", "SETTINGS_HTTP_CLIENT_CERT_AUTH")
fields.setting_server = ProtoField.uint64("countersign.settings.server_cert_auth", "SETTINGS_HTTP_SERVER_CERT_AUTH")
fields.error = ProtoField.uint64("countersign.error", "Error", base.HEX)
fields.decline = ProtoField.bool("countersign.decline", "Declined")
fields.request_count = ProtoField.uint32("countersign.requests", "Requests")
fields.answered_in = ProtoField.framenum("countersign.answered_in", "Answered in", base.NONE, frametype.RESPONSE)
fields.answers = ProtoField.framenum("countersign.answers", "Answers the request in", base.NONE, frametype.REQUEST)
fields.request = ProtoField.none("countersign.request", "Request")
fields.request_length = ProtoField.uint32("countersign.request.length", "Length")
fields.message = ProtoField.none("countersign.message", "Message")
fields.message_type = ProtoField.uint8("countersign.message.type", "Type", base.DEC, names.message)
fields.message_length = ProtoField.uint24("countersign.message.length", "Length")
fields.context = ProtoField.bytes("countersign.context", "certificate_request_context")
fields.extension = ProtoField.none("countersign.extension", "Extension")
fields.extension_type = ProtoField.uint16("countersign.extension.type", "Type", base.DEC, names.extension)
fields.extension_length = ProtoField.uint16("countersign.extension.length", "Length")
fields.extension_data = ProtoField.bytes("countersign.extension.data", "Data")
fields.scheme = ProtoField.uint16("countersign.scheme", "Scheme", base.HEX, names.scheme)
fields.authority = ProtoField.string("countersign.authority", "Authority")
fields.authority_der = ProtoField.bytes("countersign.authority.der", "DER")
fields.filter_oid = ProtoField.bytes("countersign.oid_filter.oid", "certificate_extension_oid")
fields.filter_values = ProtoField.bytes("countersign.oid_filter.values", "certificate_extension_values")
fields.server_name = ProtoField.string("countersign.server_name", "Name")
fields.entry = ProtoField.none("countersign.entry", "Certificate")
fields.certificate = ProtoField.bytes("countersign.certificate", "DER")
fields.subject = ProtoField.string("countersign.subject", "Subject")
fields.verify_scheme = ProtoField.uint16("countersign.verify.scheme", "Algorithm", base.HEX, names.scheme)
fields.signature = ProtoField.bytes("countersign.verify.signature", "Signature")
fields.verify_data = ProtoField.bytes("countersign.finished.verify_data", "verify_data")

local ERROR, WARN, NOTE = expert.severity.ERROR, expert.severity.WARN, expert.severity.NOTE
local PROTOCOL, MALFORMED, UNDECODED = expert.group.PROTOCOL, expert.group.MALFORMED, expert.group.UNDECODED

local function remark(name, text, group, severity)
    return ProtoExpert.new("countersign.expert." .. name, text, group, severity)
end

experts.malformed = remark("malformed", "A length does not fit", MALFORMED, ERROR)
experts.trailing = remark("trailing", "Bytes are left behind the end", MALFORMED, ERROR)
experts.stream = remark("stream", "On the wrong stream", PROTOCOL, ERROR)
experts.sender = remark("sender", "From the wrong side", PROTOCOL, ERROR)
experts.empty = remark("empty", "An empty list", PROTOCOL, ERROR)
experts.messages = remark("messages", "Not the messages that belong here", PROTOCOL, ERROR)
experts.signature_algorithms =
    remark("signature_algorithms", "signature_algorithms is missing (RFC 9261, section 4)", PROTOCOL, ERROR)
experts.duplicate = remark("duplicate", "This extension was there before", PROTOCOL, ERROR)
experts.scheme = remark("scheme", "TLS 1.3 has no signatures of this scheme (RFC 9261, section 5.2.2)", PROTOCOL, ERROR)
experts.certificate = remark("certificate", "This is no certificate in DER", MALFORMED, ERROR)
experts.name = remark("name", "This is no name in DER", MALFORMED, ERROR)
experts.setting = remark("setting", "A value that the setting does not have", PROTOCOL, WARN)
experts.error = remark("error", "An authenticator of the server could not be validated", PROTOCOL, WARN)
experts.builtin = remark("builtin", "Wireshark's own dissector cannot read this", UNDECODED, NOTE)
experts.cut = remark("cut", "Not captured to its end", UNDECODED, NOTE)

local function listed(by_name)
    local list = {}
    for _, one in pairs(by_name) do
        list[#list + 1] = one
    end
    return list
end

countersign.fields = listed(fields)
countersign.experts = listed(experts)

register_postdissector(countersign)
