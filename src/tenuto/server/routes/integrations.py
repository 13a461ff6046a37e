"""Integrations: providers, what they offer, and the prompts that are meant for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace
from starlette.responses import Response

from tenuto.server.collection import checked_name, key_of
from tenuto.server.errors import not_found
from tenuto.server.http import Call, empty, json_response
from tenuto.server.integrations import Category, Integrations, Offer, Provider, masked, unmasked
from tenuto.server.routes.prompts import PromptView, view
from tenuto.server.routes.tags import tag_routes
from tenuto.server.routing import Family
from tenuto.server.tags import Tag

integrations = Family("Integrations", "INTEGRATION")

_PROVIDER = "/integrations/provider/{provider}"
_OFFER = _PROVIDER + "/integration/{model}"


class ListQuery(Struct, rename="camel"):
    type: str | None = None
    category: str | None = None
    active_only: bool | None = None


class ProviderUpdate(Struct, rename="camel"):
    type: str = ""
    category: Category = "API"
    description: str = ""
    enabled: bool = True
    configuration: dict[str, Any] = {}


class OfferUpdate(Struct, rename="camel"):
    description: str = ""
    enabled: bool = True
    configuration: dict[str, Any] = {}
    max_tokens: int | None = None
    frequency: str | None = None


class OfferView(Struct, rename="camel", kw_only=True):
    integration_name: str
    api: str
    description: str
    enabled: bool
    configuration: dict[str, Any]
    tags: list[Tag]
    max_tokens: int | None
    frequency: str | None
    created_by: str
    created_on: int
    updated_by: str
    updated_on: int


class ProviderView(Struct, rename="camel", kw_only=True):
    name: str
    type: str
    category: str
    description: str
    enabled: bool
    configuration: dict[str, Any]
    models_count: int
    tags: list[Tag]
    apis: list[OfferView]
    created_by: str
    created_on: int
    updated_by: str
    updated_on: int


@integrations.get("/integrations/provider", query=ListQuery, answer=list[ProviderView])
async def providers(call: Call) -> Response:
    """All providers."""
    return json_response([_provider_view(call, provider) for provider in _listed(call)])


@integrations.get("/integrations/def", answer=list[dict[str, Any]])
async def known(call: Call) -> Response:
    """The kinds of providers that this server knows how to talk to."""
    return json_response([])


@integrations.get("/integrations/all", query=ListQuery, answer=list[str])
async def everything(call: Call) -> Response:
    """Every model or API of every provider, as provider:model."""
    stored = _stored(call)
    return json_response(
        [f"{provider.name}:{offer.api}" for provider in _listed(call) for offer in stored.offers_of(provider.name)]
    )


@integrations.get(_PROVIDER, answer=ProviderView)
async def provider(call: Call) -> Response:
    """One provider."""
    return json_response(_provider_view(call, _existing(call)))


@integrations.post(_PROVIDER, body=ProviderUpdate)
async def save_provider(call: Call) -> Response:
    """Create or replace a provider."""
    name = checked_name(call.path_params["provider"], "a provider")
    update = await call.decode(ProviderUpdate)
    stored = _stored(call)
    now, by = call.services.now_ms(), call.caller.name

    def replaced(before: Provider | None) -> Provider:
        known = stored.configuration(name, before.sealed) if before else {}
        return Provider(
            name=name,
            type=update.type,
            category=update.category,
            description=update.description,
            enabled=update.enabled,
            sealed=stored.seal(name, unmasked(update.configuration, known)),
            created_by=before.created_by if before else by,
            created_on=before.created_on if before else now,
            updated_by=by,
            updated_on=now,
        )

    await stored.providers.change(name, replaced)
    return empty()


@integrations.delete(_PROVIDER)
async def delete_provider(call: Call) -> Response:
    """Delete a provider with all it offers."""
    name = _existing(call).name
    tags = call.services.configuration.tags
    for offer in _stored(call).offers_of(name):
        await tags.forget("INTEGRATION", key_of(name, offer.api))
    await _stored(call).remove(name)
    await tags.forget("INTEGRATION", name)
    return empty()


@integrations.get(_PROVIDER + "/integration", query=ListQuery, answer=list[OfferView])
async def offers(call: Call) -> Response:
    """What a provider offers."""
    active = call.query(ListQuery).active_only
    found = _stored(call).offers_of(_existing(call).name)
    return json_response([_offer_view(call, offer) for offer in found if offer.enabled or not active])


@integrations.get(_PROVIDER + "/integration/all", answer=list[str])
async def offer_names(call: Call) -> Response:
    """The names of what a provider offers."""
    return json_response([offer.api for offer in _stored(call).offers_of(_existing(call).name)])


@integrations.get(_OFFER, answer=OfferView)
async def offer(call: Call) -> Response:
    """One model or API of a provider."""
    return json_response(_offer_view(call, _existing_offer(call)))


@integrations.post(_OFFER, body=OfferUpdate)
async def save_offer(call: Call) -> Response:
    """Create or replace a model or API of a provider."""
    provider = _existing(call).name
    model = checked_name(call.path_params["model"], "a model")
    update = await call.decode(OfferUpdate)
    stored = _stored(call)
    now, by = call.services.now_ms(), call.caller.name
    key = key_of(provider, model)

    def replaced(before: Offer | None) -> Offer:
        known = stored.configuration(key, before.sealed) if before else {}
        return Offer(
            integration_name=provider,
            api=model,
            description=update.description,
            enabled=update.enabled,
            max_tokens=update.max_tokens,
            frequency=update.frequency,
            sealed=stored.seal(key, unmasked(update.configuration, known)),
            prompts=before.prompts if before else [],
            tokens_used=before.tokens_used if before else 0,
            created_by=before.created_by if before else by,
            created_on=before.created_on if before else now,
            updated_by=by,
            updated_on=now,
        )

    await stored.offers.change(key, replaced)
    return empty()


@integrations.delete(_OFFER)
async def delete_offer(call: Call) -> Response:
    """Delete a model or API of a provider."""
    offer = _existing_offer(call)
    key = key_of(offer.integration_name, offer.api)
    await _stored(call).offers.delete(key)
    await call.services.configuration.tags.forget("INTEGRATION", key)
    return empty()


@integrations.get(_OFFER + "/prompt", answer=list[PromptView])
async def prompts(call: Call) -> Response:
    """The prompts that are meant for a model."""
    offer = _existing_offer(call)
    model = f"{offer.integration_name}:{offer.api}"
    found = call.services.configuration.prompts.latest_of_all()
    return json_response(
        [view(call, prompt) for prompt in found if prompt.name in offer.prompts or model in prompt.integrations]
    )


@integrations.post(_OFFER + "/prompt/{prompt}", access="UPDATE")
async def associate(call: Call) -> Response:
    """Say that a prompt is meant for a model."""
    name = call.path_params["prompt"]
    if call.services.configuration.prompts.latest(name) is None:
        raise not_found(f"there is no prompt {name!r}")
    await _change_offer(call, lambda offer: replace(offer, prompts=[*(p for p in offer.prompts if p != name), name]))
    return empty()


@integrations.delete(_OFFER + "/prompt/{prompt}", access="UPDATE")
async def dissociate(call: Call) -> Response:
    """Say that a prompt is not meant for a model."""
    name = call.path_params["prompt"]
    await _change_offer(call, lambda offer: replace(offer, prompts=[p for p in offer.prompts if p != name]))
    return empty()


@integrations.get(_OFFER + "/metrics", answer=int)
async def tokens_of_offer(call: Call) -> Response:
    """How many tokens a model has used."""
    return json_response(_existing_offer(call).tokens_used)


@integrations.get(_PROVIDER + "/metrics", answer=dict[str, int])
async def tokens_of_provider(call: Call) -> Response:
    """How many tokens each model of a provider has used."""
    return json_response({offer.api: offer.tokens_used for offer in _stored(call).offers_of(_existing(call).name)})


@integrations.post(_OFFER + "/metrics", body=int, access="UPDATE")
async def add_tokens(call: Call) -> Response:
    """Count tokens that a model has used."""
    used: int = await call.decode(Annotated[int, Meta(ge=0)])  # type: ignore[arg-type]
    await _change_offer(call, lambda offer: replace(offer, tokens_used=offer.tokens_used + used))
    return empty()


async def _change_offer(call: Call, change: Callable[[Offer], Offer]) -> None:
    offer = _existing_offer(call)
    key = key_of(offer.integration_name, offer.api)

    def changed(before: Offer | None) -> Offer:
        if before is None:
            raise not_found("somebody has just deleted it")
        return change(before)

    await _stored(call).offers.change(key, changed)


def _existing(call: Call) -> Provider:
    name = call.path_params["provider"]
    provider = _stored(call).providers.get(name)
    if provider is None:
        raise not_found(f"there is no provider {name!r}")
    return provider


def _existing_offer(call: Call) -> Offer:
    provider, model = _existing(call).name, call.path_params["model"]
    offer = _stored(call).offers.get(key_of(provider, model))
    if offer is None:
        raise not_found(f"the provider {provider!r} has no model {model!r}")
    return offer


def _must_exist(call: Call) -> None:
    _existing(call)


def _offer_must_exist(call: Call) -> None:
    _existing_offer(call)


tag_routes(integrations, _PROVIDER + "/tags", "INTEGRATION", ("provider",), must_exist=_must_exist)
tag_routes(integrations, _OFFER + "/tags", "INTEGRATION", ("provider", "model"), must_exist=_offer_must_exist)


def _listed(call: Call) -> list[Provider]:
    query = call.query(ListQuery)
    return [
        provider
        for provider in _stored(call).providers.all()
        if (provider.enabled or not query.active_only)
        and query.type in (None, provider.type, provider.category)
        and query.category in (None, provider.category)
    ]


def _provider_view(call: Call, provider: Provider) -> ProviderView:
    stored = _stored(call)
    offers = stored.offers_of(provider.name)
    return ProviderView(
        name=provider.name,
        type=provider.type,
        category=provider.category,
        description=provider.description,
        enabled=provider.enabled,
        configuration=masked(stored.configuration(provider.name, provider.sealed)),
        models_count=len(offers),
        tags=call.services.configuration.tags.of("INTEGRATION", provider.name),
        apis=[_offer_view(call, offer) for offer in offers],
        created_by=provider.created_by,
        created_on=provider.created_on,
        updated_by=provider.updated_by,
        updated_on=provider.updated_on,
    )


def _offer_view(call: Call, offer: Offer) -> OfferView:
    key = key_of(offer.integration_name, offer.api)
    return OfferView(
        integration_name=offer.integration_name,
        api=offer.api,
        description=offer.description,
        enabled=offer.enabled,
        configuration=masked(_stored(call).configuration(key, offer.sealed)),
        tags=call.services.configuration.tags.of("INTEGRATION", key),
        max_tokens=offer.max_tokens,
        frequency=offer.frequency,
        created_by=offer.created_by,
        created_on=offer.created_on,
        updated_by=offer.updated_by,
        updated_on=offer.updated_on,
    )


def _stored(call: Call) -> Integrations:
    return call.services.configuration.integrations
